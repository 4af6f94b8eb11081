#!/bin/sh
# Starts the program on a Node whose side doors are closed: launch.sh NODE MAIN [ARGUMENT...]
# The caller's variables for the runtime do not reach it: NODE_OPTIONS loads code and opens the inspector, NODE_DEBUG
# prints secrets, OPENSSL_CONF changes the TLS policy. Those that add certificate authorities do.
trap '' USR1 USR2
for name in $(env | sed -n -e 's/^\(NODE_[A-Za-z0-9_]*\)=.*/\1/p' -e 's/^\(OPENSSL_[A-Za-z0-9_]*\)=.*/\1/p'); do
  case $name in
    NODE_EXTRA_CA_CERTS | NODE_USE_SYSTEM_CA) ;;
    *) unset "$name" ;;
  esac
done
# Node itself ends without a word, or with a stack, when it cannot open its own files.
files=$(ulimit -Hn)
if [ "$files" != unlimited ] && [ "$files" -lt 100 ]; then
  echo "error: this process may open only $files files, and needs 100 at least" >&2
  echo "    hint: raise the limit: ulimit -Hn in the shell that starts it, LimitNOFILE= in the unit" >&2
  exit 1
fi
# Until the program handles SIGUSR1, Node takes it for the wish to open the inspector. --disable-sigusr1 would block the
# signal for good; instead the inspector has an address that no machine has (RFC 5737), and cannot listen.
node=$1
shift
exec "$node" --inspect-port=192.0.2.0:1024 "$@"
