# For the scripts beside this one: makes the Python environment of a peer when it is not there yet.
# `install NAME PYTHON PACKAGES…` sets $venv; the packages are pinned by the caller, so a change of them installs anew.
install() {
  local name=$1 python=$2; shift 2
  local home=${XDG_CACHE_HOME:-$HOME/.cache}/emberline/peers
  venv=$home/$name
  if [ "$(cat "$venv/installed.txt" 2>/dev/null)" != "$*" ]; then
    command -v "$python" >/dev/null || { echo "there is no $python" >&2; exit 1; }
    echo "installing $* into $venv" >&2
    mkdir -p "$home"
    # Debian's own Python has no pip for an environment unless python3-venv is there; another Python's pip will do.
    "$python" -m venv --clear --without-pip "$venv"
    python3 -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check "$@" >&2
    echo "$*" > "$venv/installed.txt"
  fi
}
