#!/bin/sh
# Starts the program on Node without the caller's variables for Node: launch.sh NODE MAIN [ARGUMENT...]
# NODE_OPTIONS can load code and open the inspector, NODE_DEBUG can print secrets, OPENSSL_CONF can change the TLS
# policy. Variables that add certificate authorities are kept.
trap '' USR1 USR2
for name in $(env | sed -n -e 's/^\(NODE_[A-Za-z0-9_]*\)=.*/\1/p' -e 's/^\(OPENSSL_[A-Za-z0-9_]*\)=.*/\1/p'); do
  case $name in
    NODE_EXTRA_CA_CERTS | NODE_USE_SYSTEM_CA) ;;
    *) unset "$name" ;;
  esac
done
# Report too few open files here: Node itself exits silently, or with a stack, when it cannot open its own files.
files=$(ulimit -Hn)
if [ "$files" != unlimited ] && [ "$files" -lt 100 ]; then
  echo "error: this process may open only $files files, and needs 100 at least" >&2
  echo "    hint: raise the limit: ulimit -Hn in the shell that starts it, LimitNOFILE= in the unit" >&2
  exit 1
fi
# Until the program handles SIGUSR1, the signal opens Node's inspector. --disable-sigusr1 would block the signal for
# good, so give the inspector an address that no machine has (RFC 5737): it cannot listen there.
node=$1
shift
exec "$node" --inspect-port=192.0.2.0:1024 "$@"
