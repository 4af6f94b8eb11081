#!/usr/bin/env bash
# Installs reverse-proxy from this checkout: a built copy with its own Node under /opt/reverse-proxy, the workers'
# account, systemd units, log rotation, fail2ban filters where there is fail2ban. Run again to upgrade.
#
#   deploy/install.sh               install or upgrade (as root; needs any Node from 20 on, with npm)
#   deploy/install.sh --uninstall   remove what was installed; configuration, certificates and logs stay
#   --root DIR                      into DIR instead of /, touching nothing outside of it (images, tests)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root= action=install
while [ $# -gt 0 ]; do
  case $1 in
    --uninstall) action=uninstall ;;
    --root) root=$(realpath -m "${2:?--root needs a directory}"); shift ;;
    --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "install.sh: unknown argument \"$1\" (--help says what there is)" >&2; exit 2 ;;
  esac
  shift
done
[ "$root" != / ] || root=
if [ -z "$root" ] && [ "$(id -u)" -ne 0 ]; then
  echo "install.sh: needs root, or --root DIR" >&2
  exit 1
fi

prefix=$root/opt/reverse-proxy
units=$root/etc/systemd/system
say() { printf '%s\n' "$*"; }
on_this_machine() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

# put MODE SOURCE TARGET: the directories above it are made.
put() { install -D -m "$1" "$here/$2" "$root$3"; }
# offer MODE SOURCE TARGET: as put, but what is there is the operator's.
offer() { [ -e "$root$3" ] || put "$@"; }

install_program() {
  local release
  release=$prefix/releases/$(date -u +%Y%m%dT%H%M%S)-$$
  mkdir -p "$prefix/releases"
  (
    cd "$here/.."
    npx -y pnpm@12 install --frozen-lockfile
    npx -y pnpm@12 build
    # Copies: files linked to somebody's package store would be theirs to change.
    npx -y pnpm@12 --config.package-import-method=copy -F supervisor deploy --prod "$release"
  ) >"$prefix/install.log" 2>&1 || { cat "$prefix/install.log" >&2; rm -rf "$release"; exit 1; }
  rm -rf "$prefix/install.log" "$release/node_modules/.bin"
  chmod -R u=rwX,go=rX "$release"
  # A supervisor that runs keeps forking workers from its own release, so the one before stays.
  local previous
  previous=$(readlink "$prefix/current" || echo none)
  ln -sfn "releases/$(basename "$release")" "$prefix/current.new"
  mv -T "$prefix/current.new" "$prefix/current"
  find "$prefix/releases" -mindepth 1 -maxdepth 1 ! -path "$release" ! -path "$prefix/$previous" -exec rm -rf {} +

  mkdir -p "$prefix/bin" "$root/usr/local/bin"
  cat >"$prefix/bin/reverse-proxy" <<'SH'
#!/bin/sh
# The installed program on the Node that came with it.
program=$(dirname "$(dirname "$(readlink -f "$0")")")/current
exec "$program"/node_modules/node*-linux-*/bin/node "$program/dist/main.js" "$@"
SH
  chmod 0755 "$prefix/bin/reverse-proxy"
  ln -sfn /opt/reverse-proxy/bin/reverse-proxy "$root/usr/local/bin/reverse-proxy"
}

install_account() {
  put 0644 systemd/sysusers.conf /etc/sysusers.d/reverse-proxy.conf
  put 0644 systemd/tmpfiles.conf /etc/tmpfiles.d/reverse-proxy.conf
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers --root="${root:-/}" "$root/etc/sysusers.d/reverse-proxy.conf"
  elif [ -z "$root" ] && ! getent passwd reverse-proxy >/dev/null; then
    useradd --system --no-create-home --shell /usr/sbin/nologin reverse-proxy
  fi
  if [ -z "$root" ]; then
    install -d -m 2770 -o root -g reverse-proxy /var/log/reverse-proxy
  fi
}

install_files() {
  install -d -m 0755 "$root/etc/reverse-proxy"
  local example
  for example in dedicated-ips shared-ip local; do
    put 0644 "config/$example.toml" "/etc/reverse-proxy/examples/$example.toml"
    sed -i '1s|^#:schema .*|#:schema /opt/reverse-proxy/share/config.schema.json|' "$root/etc/reverse-proxy/examples/$example.toml"
  done
  put 0644 ../docs/config.schema.json /opt/reverse-proxy/share/config.schema.json
  put 0644 systemd/reverse-proxy.service /etc/systemd/system/reverse-proxy.service
  put 0644 systemd/unprivileged.conf /opt/reverse-proxy/share/unprivileged.conf
  # Its addresses are the operator's.
  offer 0644 systemd/reverse-proxy.socket /etc/systemd/system/reverse-proxy.socket
  offer 0644 logrotate/reverse-proxy /etc/logrotate.d/reverse-proxy
  if [ -d "$root/etc/fail2ban" ]; then
    local filter
    for filter in rate-limit auth scan; do
      put 0644 "fail2ban/filter.d/reverse-proxy-$filter.conf" "/etc/fail2ban/filter.d/reverse-proxy-$filter.conf"
    done
    offer 0644 fail2ban/jail.d/reverse-proxy.conf /etc/fail2ban/jail.d/reverse-proxy.conf
  fi
}

uninstall() {
  if on_this_machine; then
    systemctl disable --now reverse-proxy.socket reverse-proxy.service 2>/dev/null || true
  fi
  rm -rf "$prefix" "$root/usr/local/bin/reverse-proxy" "$units/reverse-proxy.service" "$units/reverse-proxy.socket"
  rm -rf "$root/etc/logrotate.d/reverse-proxy" "$root/etc/sysusers.d/reverse-proxy.conf"
  rm -rf "$root/etc/tmpfiles.d/reverse-proxy.conf" "$root/etc/reverse-proxy/examples"
  rm -f "$root"/etc/fail2ban/filter.d/reverse-proxy-{rate-limit,auth,scan}.conf "$root/etc/fail2ban/jail.d/reverse-proxy.conf"
  if on_this_machine; then systemctl daemon-reload; fi
  say "Removed. Left as they are: /etc/reverse-proxy, /var/lib/reverse-proxy, /var/log/reverse-proxy and the account."
}

if [ "$action" = uninstall ]; then
  uninstall
  exit 0
fi
install_program
install_account
install_files
if on_this_machine; then systemctl daemon-reload; fi
say "Installed $("$prefix/bin/reverse-proxy" --version) in $prefix."
if [ ! -e "$root/etc/reverse-proxy/config.toml" ]; then
  say "Next: write /etc/reverse-proxy/config.toml (/etc/reverse-proxy/examples shows how), then"
  say "  reverse-proxy validate && systemctl enable --now reverse-proxy"
else
  say "Next: systemctl restart reverse-proxy"
fi
