"""What programs in guests write, as they write it to a terminal of 80x24."""

from __future__ import annotations

CSI = b"\x1b["
VIM = (
    b"\x1b[?1049h\x1b[22;0;0t\x1b[?1h\x1b=\x1b[?2004h\x1b[1;24r\x1b[?12h\x1b[?12l\x1b[22;2t\x1b[22;1t\x1b[27m\x1b[23m\x1b[29m"
    b'\x1b[m\x1b[H\x1b[2J\x1b[?25l\x1b[24;1H"fstab" 12L, 664B\x1b[1;1H\x1b[34m# /etc/fstab: static file system\x1b[m\r\n'
    b"\x1b[34m#\x1b[m\r\n\x1b[32mUUID\x1b[m=0a3b / ext4 errors=remount-ro 0 1\r\n\x1b[1m\x1b[34m~                    "
    b"                                                           \x1b[5;1H~\x1b[6;1H~\x1b[m\x1b[24;63H1,1\x1b[11CAll"
    b"\x1b[1;1H\x1b[?25h\x1b[?25l\x1b[24;1H\x1b[1m-- INSERT --\x1b[m\x1b[24;13H\x1b[K\x1b[24;63H2,1\x1b[11CAll\x1b[2;1H"
    b"\x1b[?25h\x1b[2;23r\x1b[2;1H\x1b[L\x1b[1;24rnew line\x1b[4h in front \x1b[4l\x1b[1P\x1b[3;5H\x1b[2@XY\x1b[2X"
)
HTOP = (
    b"\x1b[?1049h\x1b[22;0;0t\x1b[1;24r\x1b(B\x1b[m\x1b[4l\x1b[?7h\x1b[?1h\x1b=\x1b[?25l\x1b[39;49m\x1b[?1000h\x1b[39;49m\x1b(B\x1b[m"
    b"\x1b[H\x1b[2J\x1b[2d  \x1b[36m1  \x1b[39m\x1b(B\x1b[0;1m[\x1b[32m|||||\x1b[31m||\x1b[30m\x1b[25X\x1b[25C12.3%\x1b[39m]\x1b(B\x1b[m\r\x1b[3d"
    b"  \x1b[36mMem\x1b[39m\x1b(B\x1b[0;1m[\x1b[32m||||\x1b[34m|\x1b[33m|||\x1b[30m  121M/992M\x1b[39m]\x1b(B\x1b[m\r\x1b[6d\x1b[30m\x1b[42m"
    b"  PID USER      PRI  NI  VIRT   RES   SHR S  CPU% MEM%   TIME+  Command         \x1b[7;1H\x1b[30m\x1b[46m"
    b"    1 root       20   0  2404  1612  1516 S   0.0  0.2  0:01.20 /sbin/init      \x1b[39;49m\x1b(B\x1b[m\x1b[8d"
    b"  212 root       20   0 13348  7700  6664 S   0.0  0.8  0:00.03 sshd\x1b[K\r\x1b[24dF1\x1b[30m\x1b[46mHelp  "
    b"\x1b[39;49m\x1b(B\x1b[mF2\x1b[30m\x1b[46mSetup \x1b[39;49m\x1b(B\x1b[m\x1b[24;80H\x1b[6;1H\x1b[1;23r\x1b[7;1H\x1b[M\x1b[1;24r\x1b[24;40H"
)
LESS = (
    b"\x1b[?1049h\x1b[22;0;0t\x1b[?1h\x1b=\r"
    + b"".join(b"\x1b[1mMAN(%d)\x1b[m text of a \x1b[4mmanual\x1b[24m page\x1b[m\r\n" % n for n in range(40))
    + b"\x1b[7m Manual page ls(1) line 1\x1b[27m\x1b[K\r\x1b[K\x1b[H\x1bMfirst again\r\n\x1b[24;1H\x1b[K:\x1b[K"
)
DIALOG = (
    b"\x1b[H\x1b[J\x1b[44m\x1b[37m" + b" " * 80 + b"\x1b[5;20H\x1b[47m\x1b[30m\x1b(0l" + b"q" * 30 + b"k\x1b(B"
    + b"".join(b"\x1b[%d;20H\x1b(0x\x1b(B%-30sx" % (row, b" Choose " if row == 7 else b"") for row in range(6, 12))
    + b"\x1b[12;20H\x1b(0m" + b"q" * 30 + b"j\x1b(B\x1b[0;7m\x1b[10;30H<  OK  >\x1b[m\x1b[10;33H\x0e\x0faq"
)  # fmt: skip
TOP = (
    b"\x1b[?1h\x1b=\x1b[?25l\x1b[H\x1b[2J\x1b(B\x1b[mtop - 10:11:12 up 1 day\x1b(B\x1b[m\x1b[39;49m\x1b(B\x1b[m\x1b[39;49m\x1b[K\n"
    + (
        b"Tasks:\x1b(B\x1b[m\x1b[39;49m\x1b[1m  84 \x1b(B\x1b[m\x1b[39;49mtotal\x1b[K\n\x1b[K\n\x1b[7m  PID USER  \x1b(B\x1b[m\x1b[39;49m\x1b[K"
    )
)
BASH = (
    b"\x1b[?2004h\x1b]0;root@tiny: ~\x07\x1b[01;32mroot@tiny\x1b[00m:\x1b[01;34m~\x1b[00m# echo 'a b'\x08\x08\x1b[1P\x1b[1@c\x08"
    b"\r\x1b[13C\x1b[Knew\r\n\x1b[?2004l\rnew\r\n\x1b[?2004h# \x07very long line "
    + b"0123456789"
    * 9
    + b"\r\x1b[A\x1b[4Cup"
    b"\x1b[K\r\n\n\tone\ttwo\x1b[2Z\x1b[32mthree\x1b[m\x1b[3I.\r\n\x1b[3g\x1b[20G\x1bH\x1b[40G\x1bH\r\tA\tB\r\n"
)
GRUB = (
    b"\x1b[0m\x1b[30m\x1b[40m\x1b[2J\x1b[01;01H\x1b[0m\x1b[37m\x1b[40m\x1b[02;30HGNU GRUB  version 2.06\x1b[04;02H\xe2\x94\x8c"
    + b"\xe2\x94\x80" * 76 + b"\xe2\x94\x90\x1b[05;02H\xe2\x94\x82\x1b[05;79H\xe2\x94\x82\x1b[0m\x1b[30m\x1b[47m\x1b[05;03H*Debian"
    b" GNU/Linux                                                              \x1b[0m\x1b[37m\x1b[40m\x1b[05;78H"
)  # fmt: skip
REGIONS = (
    b"\x1b[2J" + b"".join(b"\x1b[%d;1Hline %d" % (row, row) for row in range(1, 25))
    + b"\x1b[5;10r\x1b[10;1H\nafter\n\n\x1b[5;1H\x1bM\x1bMbefore\x1b[6;3H\x1b[2L\x1b[8;3H\x1b[3M\x1b[r\x1b[?6h\x1b[5;10r\x1b[2;2Horigin"
    b"\x1b[99;99H!\x1b[?6l\x1b[r\x1b[15;1H\x1bD\x1bEnext\x1b7\x1b[1;1Hhome\x1b8saved\x1b[20;70H0123456789wrapped\x1b[?7l\x1b[22;75H0123456789\x1b[?7h"
)  # fmt: skip
STYLES = (
    b"\x1b[1mbold\x1b[2mdim\x1b[22m\x1b[3mital\x1b[23m\x1b[4mund\x1b[24m\x1b[7mrev\x1b[27m\x1b[9mstrike\x1b[29m\r\n"
    b"\x1b[31mred\x1b[91mbright\x1b[39m\x1b[42mon green\x1b[102mbrighter\x1b[49m\x1b[38;5;208morange\x1b[48;5;17mnavy\x1b[0m\r\n"
    b"\x1b[38;2;1;2;3mtrue\x1b[48;2;200;100;50mboth\x1b[mplain\x1b[1;31;44mthree\x1b[0;32mgreen\x1b[;4munder\x1b[m\r\n\x1b[44mto the end\x1b[K\x1b[m"
)
WIDE = (
    "日本語テキスト\r\ncafé e\u0301 a\u0308b\r\n".encode()
    + b"\x1b[5;78H" + "abc日\r\n".encode() + b"\x1b[7;80H" + "日x\r\n".encode() + "\x1b[10;1H日本\x1b[10;2HX\x1b[11;1H한국어\x1b[11;3H\x1b[K".encode()
)  # fmt: skip
CORPUS = {
    "vim": VIM,
    "htop": HTOP,
    "less": LESS,
    "dialog": DIALOG,
    "top": TOP,
    "bash": BASH,
    "grub": GRUB,
    "regions": REGIONS,
    "styles": STYLES,
    "wide": WIDE,
}
