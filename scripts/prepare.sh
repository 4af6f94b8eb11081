#!/bin/sh
# First step of start, test, check, build, bench and deploy/install.sh: installs the whole workspace from the lockfile
# unless exactly that is installed, then tries the pinned Node. Needs only sh, because that Node may not run yet.
# A filtered or interrupted installation, or one of another lockfile, counts as incomplete.
#
#   scripts/prepare.sh [--provide]   --provide: as root on Debian, install the system libraries that Node lacks
set -eu
cd "$(dirname "$0")/.."
stamp=node_modules/.complete
# A link whose target is the process id of the running installation, created atomically; it stays if that is killed.
marker=.installing
# Records that an earlier marker was found: a package could be incomplete.
killed=.installing.killed

# The wanted and the installed state, as one line. pnpm writes the two files in node_modules at the end of an installation.
fingerprint() {
  {
    cat package.json packages/*/package.json test/package.json pnpm-lock.yaml pnpm-workspace.yaml
    cat node_modules/.modules.yaml node_modules/.pnpm/lock.yaml
    ls -d packages/*/node_modules test/node_modules
  } 2>/dev/null | cksum
}

is_complete() { [ ! -L "$marker" ] && [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint)" ]; }

pnpm_install() {
  # pnpm's own record is not used: after a filtered installation it reports that everything is installed.
  set -- install --frozen-lockfile --config.optimistic-repeat-install=false --config.confirm-modules-purge=false
  case ${npm_execpath-} in
    *pnpm*.[cm]js) "${npm_node_execpath:-node}" "$npm_execpath" "$@" ;;
    *pnpm*) "$npm_execpath" "$@" ;;
    *) npx -y pnpm@12 "$@" ;;
  esac
}

install_workspace() {
  vain=0
  while ! ln -s $$ "$marker" 2>/dev/null; do
    [ -w . ] || { echo "prepare.sh: cannot write in $PWD, and the installation there is not complete" >&2; exit 1; }
    owner=$(readlink "$marker" || true)
    if [ -z "$owner" ]; then
      # The link was removed meanwhile, is not a link, or the disk is full or does not support links.
      [ ! -e "$marker" ] || rm -f "$marker"
      vain=$((vain + 1))
      [ "$vain" -lt 100 ] || { echo "prepare.sh: cannot make the link $PWD/$marker" >&2; exit 1; }
    elif kill -0 "$owner" 2>/dev/null; then
      sleep 1
    else
      : >"$killed"
      mv "$marker" "$marker.$$" 2>/dev/null || continue
      # Another process may have taken its place since it was read.
      [ "$(readlink "$marker.$$")" = "$owner" ] || ln -s "$(readlink "$marker.$$")" "$marker" 2>/dev/null || true
      rm -f "$marker.$$"
    fi
  done
  # Only the owner of the marker gets here, so no other installation runs.
  if [ -e "$killed" ]; then
    rm -rf node_modules packages/*/node_modules test/node_modules
    rm -f "$killed"
  fi
  if ! is_installed_meanwhile; then
    rm -f "$stamp"
    status=0
    pnpm_install >&2 || status=$?
    # A code from 128 on means that a signal ended it: the marker stays.
    [ "$status" -lt 128 ] || exit "$status"
    [ "$status" -eq 0 ] || { rm -f "$marker"; exit "$status"; }
    fingerprint >"$stamp"
  fi
  rm -f "$marker"
}

is_installed_meanwhile() { [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint)" ]; }

# package_of LIBRARY MANAGER: prints the package that contains the library.
package_of() {
  case $1:$2 in
    libatomic.so.1:apt-get | libatomic.so.1:zypper) echo libatomic1 ;;
    libatomic.so.1:dnf) echo libatomic ;;
    libstdc++.so.6:apt-get | libstdc++.so.6:zypper) echo libstdc++6 ;;
    libstdc++.so.6:dnf) echo libstdc++ ;;
    libgcc_s.so.1:apt-get) echo libgcc-s1 ;;
    libgcc_s.so.1:zypper) echo libgcc_s1 ;;
    libgcc_s.so.1:dnf) echo libgcc ;;
    lib*:pacman) echo gcc-libs ;;
  esac
}

manager() {
  for tool in apt-get dnf zypper pacman; do
    if command -v "$tool" >/dev/null 2>&1; then echo "$tool"; return; fi
  done
}

# Tries the installed Node. The error comes from the loader, which names one missing library at a time.
try_node() { error=$(node_modules/.bin/node --version 2>&1 >/dev/null); }

check_node() {
  previous=
  while ! try_node; do
    library=$(printf '%s\n' "$error" | sed -n 's/.*error while loading shared libraries: \([^:]*\):.*/\1/p')
    tool=$(manager)
    package=$(package_of "$library" "$tool")
    if [ -z "$library" ]; then
      echo "The Node that comes with reverse-proxy does not run here (it needs glibc 2.28 or later): $error" >&2
      exit 1
    fi
    if [ "$provide" = yes ] && [ "$tool" = apt-get ] && [ "$(id -u)" -eq 0 ] && [ -n "$package" ] && [ "$previous" != "$library" ]; then
      previous=$library
      echo "Installing $package, which has $library: the Node of reverse-proxy needs it" >&2
      export DEBIAN_FRONTEND=noninteractive
      apt-get -qq -o DPkg::Lock::Timeout=120 update >&2 || true
      apt-get -qq -o DPkg::Lock::Timeout=120 install --yes --no-install-recommends "$package" >&2 || true
      continue
    fi
    case $tool in
      '') remedy='install the package of your system that has it' ;;
      pacman) remedy="as root: pacman -S $package" ;;
      *) remedy="as root: $tool install ${package:-the package that has it}" ;;
    esac
    echo "The Node that comes with reverse-proxy needs $library, which this system does not have; $remedy" >&2
    exit 1
  done
}

provide=no
[ "${1-}" != --provide ] || provide=yes
is_complete || install_workspace
check_node
