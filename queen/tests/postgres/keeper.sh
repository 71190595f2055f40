# Keeps a PostgreSQL server for tests: keeper.sh PROGRAMS FOLDER. Reads `start` and `stop`, answers each with `done`, and
# when there is nothing more to read it ends the server and removes the folder.
set -u
programs=$1 folder=$2

make() {
  "$programs/initdb" -D data -U skep -A trust -E UTF8 --locale=C --no-sync >>log 2>&1 || return 1
  cat >>data/postgresql.conf <<END
listen_addresses = ''
unix_socket_directories = '$folder'
unix_socket_permissions = 0777
max_connections = 300
fsync = off
full_page_writes = off
END
  cat >data/pg_hba.conf <<END
local all skep trust
local all all scram-sha-256
END
}

# Whoever gave the last order may be gone before it is answered; the end below is for that too.
trap '' PIPE
chmod 711 .
while read -r order; do
  case $order in
    start) { [ -d data ] || make; } && "$programs/pg_ctl" -D data -w -l log start >/dev/null ;;
    stop) "$programs/pg_ctl" -D data -w -m immediate stop >/dev/null ;;
  esac && echo "done" || echo "failed"
done
[ ! -d data ] || "$programs/pg_ctl" -D data -w -m immediate stop >/dev/null 2>&1
cd / && rm -rf "$folder"
