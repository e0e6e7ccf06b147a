#!/usr/bin/env bash
# Everything that `make run` and `make test` need, on a bare Debian or Ubuntu: OS packages (as root or through sudo),
# uv, the locked environment, bytecode. Elsewhere it says what to install. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

# What the server, its build, the guests and the tests need. libvirt-python is built here, hence gcc and the headers.
PACKAGES=(python3 python3-venv python3-dev gcc pkg-config libvirt-dev
  libvirt-daemon libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-daemon-config-network libvirt-clients
  qemu-system-x86 qemu-utils dnsmasq-base prometheus tmux)
# Without systemd the other flavour of libvirt's start scripts would pull systemd in.
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
    say "this is no Debian or Ubuntu: install by your own package manager Python 3.11 or newer with its headers and venv,"
    say "gcc, pkg-config, libvirt with its headers and its QEMU driver, QEMU with qemu-img, and dnsmasq"
    return 0
  fi
  local missing as_root=()
  missing=$(missing_packages)
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
      as_root=(sudo)
    else
      say "these packages are missing, and there is neither root nor sudo to install them:"
      say "  apt-get install --no-install-recommends $missing"
      exit 1
    fi
  fi
  say "installing $missing"
  "${as_root[@]}" apt-get update -qq
  # policy-rc.d keeps package scripts from starting services that are not ours to start in a container.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# Where no udev runs (a container), /dev/kvm may be root's alone. QEMU's user then cannot open it, and libvirt looks
# QEMU over again, for seconds, at every definition. So: the group and mode that udev's own rules give.
share_kvm() {
  [ "$(id -u)" -eq 0 ] && [ ! -d /run/systemd/system ] && [ -c /dev/kvm ] && getent group kvm >/dev/null || return 0
  [ "$(stat -c %a /dev/kvm)" = 600 ] || return 0
  say "giving /dev/kvm to the group kvm, as udev would"
  chgrp kvm /dev/kvm && chmod 660 /dev/kvm
}

find_uv() {
  if command -v uv >/dev/null; then UV=$(command -v uv); return; fi
  if [ ! -x .tools/bin/uv ]; then
    say "getting uv"
    python3 -m venv .tools
    .tools/bin/python -m pip install --quiet --disable-pip-version-check uv
  fi
  UV=.tools/bin/uv
}

check_python() {
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
  say "NovaCron needs Python 3.11 or newer; this machine's python3 is $(python3 --version 2>&1 || echo missing)"
  exit 1
}

install_packages
share_kvm
check_python
find_uv
export UV_PYTHON_DOWNLOADS=never
say "the locked environment"
"$UV" sync --quiet --frozen --all-extras --compile-bytecode
.venv/bin/python -m compileall -q novacron_core novacron_tui server/novacron_server
touch .venv/.ready
