#!/usr/bin/env bash
# Installs reverse-proxy from this checkout: a built copy with its own Node in /opt/reverse-proxy, the account of the
# workers, systemd units, log rotation, fail2ban filters if fail2ban is installed, the manual page and shell
# completions. Run it again to upgrade.
#
#   deploy/install.sh               install or upgrade (as root; needs any Node from 20 on, with npm)
#   deploy/install.sh --uninstall   remove what was installed; configuration, certificates and logs stay
#   --root DIR                      install into DIR instead of / and change nothing outside of it (images, tests)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root= action=install
while [ $# -gt 0 ]; do
  case $1 in
    --uninstall) action=uninstall ;;
    --root) root=$(realpath -m "${2:?--root needs a directory}"); shift ;;
    --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
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
manual=/usr/local/share/man/man1/reverse-proxy.1
completions=/usr/share
say() { printf '%s\n' "$*"; }
on_this_machine() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

# put MODE SOURCE TARGET: copies a file and creates the directories above it.
put() { install -D -m "$1" "$here/$2" "$root$3"; }
# offer MODE SOURCE TARGET: as put, but keeps a file that exists, because the operator may have changed it.
offer() { [ -e "$root$3" ] || put "$@"; }
# withdraw SOURCE TARGET: removes an offered file unless the operator has changed it.
withdraw() {
  if cmp -s "$here/$1" "$root$2"; then
    rm -f "$root$2"
  elif [ -e "$root$2" ]; then
    say "Left: $2, which is not as it was installed."
  fi
}

# is_running RELEASE: true if a process runs the Node of this release.
is_running() {
  local release exe
  release=$(realpath "$1")
  for exe in /proc/[0-9]*/exe; do
    case $(readlink "$exe" 2>/dev/null) in "$release"/*) return 0 ;; esac
  done
  return 1
}

# step TEXT: prints progress to the terminal; the output of the steps goes to a log.
step() { printf '  %s\n' "$*" >&3; }

# slim RELEASE: removes what the program does not need at run time: pnpm's records, C headers, manuals, sources, maps.
slim() {
  local node
  rm -rf "$1"/pnpm-*.yaml "$1"/node_modules/{.bin,.pnpm,.modules.yaml,.pnpm-workspace-state*}
  for node in "$1"/node_modules/node*-linux-*/; do
    rm -rf "$node"{include,share,lib,CHANGELOG.md,README.md}
    find "$node/bin" -mindepth 1 ! -name node -delete
  done
  sed -i 's|@file://[^"]*/packages/|@file:packages/|' "$1/package.json"
  find "$1" -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.tsbuildinfo' \) -delete
}

# run_release RELEASE ARGUMENT...
run_release() {
  local release=$1
  shift
  "$release"/node_modules/node*-linux-*/bin/node "$release/dist/main.js" "$@"
}

install_program() {
  local release status
  release=$prefix/releases/$(date -u +%Y%m%dT%H%M%S)-$$
  mkdir -p "$prefix/releases"
  # Not inside a condition: there, bash ignores `set -e` and continues after a failed step.
  set +e
  (
    set -e
    cd "$here/.."
    step 'Installing packages (the first time about a minute)'
    # With --root, install nothing on this machine: only report what is missing.
    if [ -n "$root" ]; then sh scripts/prepare.sh; else sh scripts/prepare.sh --provide; fi
    step 'Building'
    PATH=$PWD/node_modules/.bin:$PATH tsc -b packages/supervisor packages/worker
    step 'Copying the program'
    # Copies rather than links to a user's package store, which that user could change. Flat (hoisted): pnpm's own layout
    # names directories after the path of this checkout.
    npx -y pnpm@12 --config.package-import-method=copy --config.node-linker=hoisted -F supervisor deploy --prod "$release"
  ) 3>&1 >"$prefix/install.log" 2>&1
  status=$?
  set -e
  [ "$status" -eq 0 ] || { cat "$prefix/install.log" >&2; rm -rf "$release" "$prefix/install.log"; exit 1; }
  rm -f "$prefix/install.log"
  slim "$release"
  chmod -R u=rwX,go=rX "$release"
  # Check it before any link points to it.
  run_release "$release" --version >/dev/null || {
    echo "install.sh: the new program does not run here; what was installed before stays" >&2
    rm -rf "$release"
    exit 1
  }
  # A running supervisor forks workers from its own release: keep that release and the previous one.
  local previous other
  previous=$(readlink "$prefix/current" || echo none)
  ln -sfn "releases/$(basename "$release")" "$prefix/current.new"
  mv -T "$prefix/current.new" "$prefix/current"
  for other in "$prefix"/releases/*/; do
    other=${other%/}
    if [ "$other" != "$release" ] && [ "$other" != "$prefix/$previous" ] && ! is_running "$other"; then rm -rf "$other"; fi
  done

  mkdir -p "$prefix/bin" "$root/usr/local/bin"
  cat >"$prefix/bin/reverse-proxy" <<'SH'
#!/bin/sh
# Runs the installed program on its own Node.
program=$(dirname "$(dirname "$(readlink -f "$0")")")/current
exec sh "$program/launch.sh" "$program"/node_modules/node*-linux-*/bin/node "$program/dist/main.js" "$@"
SH
  put 0644 systemd/listen-streams.mjs /opt/reverse-proxy/share/listen-streams.mjs
  put 0755 systemd/write-socket-unit.sh /opt/reverse-proxy/bin/write-socket-unit
  chmod 0755 "$prefix/bin/reverse-proxy"
  ln -sfn /opt/reverse-proxy/bin/reverse-proxy "$root/usr/local/bin/reverse-proxy"
  put 0644 ../docs/reverse-proxy.1 "$manual"
  completion bash bash-completion/completions/reverse-proxy
  completion zsh zsh/site-functions/_reverse-proxy
  completion fish fish/vendor_completions.d/reverse-proxy.fish
}

# Writes the socket unit unless the operator has changed it. Enables it without starting it: while the service runs, the
# ports are in use.
install_socket() {
  [ -e "$root/etc/reverse-proxy/config.toml" ] || return 0
  step 'Writing the socket unit from the configuration' 3>&1
  "$prefix/bin/write-socket-unit" --root "$root" || return 0
  if on_this_machine; then
    systemctl daemon-reload
    systemctl enable --quiet reverse-proxy.socket
  elif [ -n "$root" ]; then
    mkdir -p "$root/etc/systemd/system/sockets.target.wants"
    ln -sfn ../reverse-proxy.socket "$root/etc/systemd/system/sockets.target.wants/reverse-proxy.socket"
  fi
}

# completion SHELL TARGET: writes the completion script to TARGET below the directory that is searched by shells.
completion() {
  local target=$root$completions/$2
  mkdir -p "$(dirname "$target")"
  "$prefix/bin/reverse-proxy" completion "$1" >"$target"
  chmod 0644 "$target"
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
  # The addresses in it are the operator's, so keep it.
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
  rm -f "$root/etc/systemd/system/sockets.target.wants/reverse-proxy.socket"
  # Remove it only if it was written from the configuration.
  if grep -qs '^# Written by write-socket-unit' "$root/etc/systemd/system/reverse-proxy.socket"; then
    rm -f "$root/etc/systemd/system/reverse-proxy.socket"
  fi
  rm -rf "$prefix" "$root/usr/local/bin/reverse-proxy" "$root/etc/systemd/system/reverse-proxy.service"
  rm -rf "$root/etc/sysusers.d/reverse-proxy.conf" "$root/etc/tmpfiles.d/reverse-proxy.conf" "$root/etc/reverse-proxy/examples"
  rm -f "$root$manual" "$root$completions"/{bash-completion/completions/reverse-proxy,zsh/site-functions/_reverse-proxy}
  rm -f "$root$completions/fish/vendor_completions.d/reverse-proxy.fish"
  rm -f "$root"/etc/fail2ban/filter.d/reverse-proxy-{rate-limit,auth,scan}.conf
  withdraw systemd/reverse-proxy.socket /etc/systemd/system/reverse-proxy.socket
  withdraw logrotate/reverse-proxy /etc/logrotate.d/reverse-proxy
  withdraw fail2ban/jail.d/reverse-proxy.conf /etc/fail2ban/jail.d/reverse-proxy.conf
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
install_socket
say "Installed $("$prefix/bin/reverse-proxy" --version) in $prefix."
if [ ! -e "$root/etc/reverse-proxy/config.toml" ]; then
  say "Next: write /etc/reverse-proxy/config.toml (/etc/reverse-proxy/examples shows how), then"
  say "  reverse-proxy validate && /opt/reverse-proxy/bin/write-socket-unit && systemctl daemon-reload"
  say "  systemctl enable --now reverse-proxy.socket reverse-proxy"
elif ! on_this_machine || ! systemctl --quiet is-active reverse-proxy.service; then
  say "Next: systemctl enable --now reverse-proxy.socket reverse-proxy"
elif systemctl --quiet is-active reverse-proxy.socket; then
  say "Next, without a gap (systemd holds the ports meanwhile): systemctl restart reverse-proxy"
else
  say "Next: systemctl stop reverse-proxy && systemctl start reverse-proxy.socket reverse-proxy"
  say "  This once clients are refused for a moment: then systemd holds the ports, and later upgrades have no gap."
fi
