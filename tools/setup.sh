#!/usr/bin/env bash
# Installs everything that `make run` and `make test` need on a bare Debian or Ubuntu: OS packages (as root or with sudo),
# uv, the locked environment, bytecode. On other systems it lists what to install. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

# Needed by the server, its build, the guests and the tests. libvirt-python is compiled here, hence gcc and the headers.
PACKAGES=(python3 python3-venv python3-dev gcc pkg-config libvirt-dev
  libvirt-daemon libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-daemon-config-network libvirt-clients
  qemu-system-x86 qemu-utils e2fsprogs xfsprogs dnsmasq-base prometheus tmux)
# Without this package, libvirt's default start scripts would pull in systemd.
[ -d /run/systemd/system ] || PACKAGES+=(libvirt-daemon-system-sysv)

say() { printf 'setup: %s\n' "$*"; }

missing_packages() {
  local name
  for name in "${PACKAGES[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || printf '%s ' "$name"
  done
}

install_packages() {
  if ! command -v apt-get >/dev/null; then
    say "this is not Debian or Ubuntu. Install with your package manager: Python 3.11 or newer with headers and venv,"
    say "gcc, pkg-config, libvirt with headers and QEMU driver, QEMU with qemu-img, dnsmasq"
    return 0
  fi
  local missing as_root=()
  missing=$(missing_packages)
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
      as_root=(sudo)
    else
      say "packages are missing, and installing them needs root. Run as root:"
      say "  apt-get install --no-install-recommends $missing"
      exit 1
    fi
  fi
  say "installing $missing"
  "${as_root[@]}" apt-get update -qq
  # In a container, policy-rc.d keeps package scripts from starting services.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# Without udev (in a container), /dev/kvm may belong to root only. QEMU's user then cannot open it, and libvirt probes
# QEMU again, for seconds, at every definition. So set the group and mode of udev's own rules.
share_kvm() {
  [ "$(id -u)" -eq 0 ] && [ ! -d /run/systemd/system ] && [ -c /dev/kvm ] && getent group kvm >/dev/null || return 0
  [ "$(stat -c %a /dev/kvm)" = 600 ] || return 0
  say "setting group and mode of /dev/kvm, as udev would"
  chgrp kvm /dev/kvm && chmod 660 /dev/kvm
}

find_uv() {
  if command -v uv >/dev/null; then UV=$(command -v uv); return; fi
  if [ ! -x .tools/bin/uv ]; then
    say "installing uv"
    python3 -m venv .tools
    .tools/bin/python -m pip install --quiet --disable-pip-version-check uv
  fi
  UV=.tools/bin/uv
}

check_python() {
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
  say "NovaCron needs Python 3.11 or newer; python3 on this machine: $(python3 --version 2>&1 || echo missing)"
  exit 1
}

install_packages
share_kvm
check_python
find_uv
export UV_PYTHON_DOWNLOADS=never
say "installing the locked environment"
"$UV" sync --quiet --frozen --all-extras --compile-bytecode
.venv/bin/python -m compileall -q novacron_core novacron_tui server/novacron_server
touch .venv/.ready
