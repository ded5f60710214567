#!/bin/sh
# Makes .venv with the four distributions (editable) and the exact versions of constraints.txt.
# Does nothing when that is already so. Package sources are whatever the user's own pip or uv is set to.
# VENUEKIT_PYTHON names an interpreter to try first; VENUEKIT_NO_UV=1 keeps uv out.
set -u
cd "$(dirname "$0")/.." || exit 1

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

venv=.venv
py=$venv/bin/python
stamp=$venv/.setup-stamp
log=$venv/setup.log

SUITS='
import sys
ok = (sys.implementation.name == "cpython" and sys.version_info[:2] in ((3, 13), (3, 14))
      and "t" not in sys.abiflags and sys.maxsize > 2**32)
sys.exit(0 if ok else 1)'

# A launcher that exists can still fail (a version manager'"'"'s shim without a version): only running it tells.
suits() { "$1" -I -c "$SUITS" </dev/null >/dev/null 2>&1; }

fingerprint() {
    "$py" -I -c '
import hashlib, pathlib, sys
found = hashlib.sha256(sys.version.encode())
for name in ["tools/setup.sh", "constraints.txt", "pyproject.toml", *sorted(map(str, pathlib.Path("venues").glob("*/pyproject.toml")))]:
    found.update(pathlib.Path(name).read_bytes())
print(found.hexdigest())'
}

if suits "$py" && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint)" ]; then
    exit 0
fi

candidates() {
    [ -n "${VENUEKIT_PYTHON:-}" ] && printf '%s\n' "$VENUEKIT_PYTHON"
    for version in 3.13 3.14; do
        printf '%s\n' "$PATH" | tr ':' '\n' | while IFS= read -r folder; do
            [ -n "$folder" ] && printf '%s\n' "$folder/python$version"
        done
        for folder in \
            "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version"* \
            "$HOME/.pyenv/versions/$version"* \
            "${ASDF_DATA_DIR:-$HOME/.asdf}/installs/python/$version"* \
            "${MISE_DATA_DIR:-$HOME/.local/share/mise}/installs/python/$version"* \
            "${UV_PYTHON_INSTALL_DIR:-$HOME/.local/share/uv/python}/cpython-$version"* \
            "$HOME/.rye/py/cpython@$version"* \
            "$HOME"/miniconda3 "$HOME"/miniforge3 "$HOME"/anaconda3 "$HOME"/.conda/envs/* \
            "$HOME"/miniconda3/envs/* "$HOME"/miniforge3/envs/* "$HOME"/.local \
            "/Library/Frameworks/Python.framework/Versions/$version" \
            "/opt/homebrew/opt/python@$version" /opt/homebrew /usr/local /usr /opt/python/cp*
        do
            printf '%s\n' "$folder/bin/python$version"
        done
    done
    printf '%s\n' "$PATH" | tr ':' '\n' | while IFS= read -r folder; do
        [ -n "$folder" ] && printf '%s\n' "$folder/python3" "$folder/python"
    done
}

python=
tried=0
find_python() {
    list=$(candidates)
    newline='
'
    old_ifs=$IFS
    IFS=$newline
    for candidate in $list; do
        [ -x "$candidate" ] || command -v "$candidate" >/dev/null 2>&1 || continue
        case $candidate in "$PWD/$venv"/*) continue ;; esac
        tried=$((tried + 1))
        if suits "$candidate"; then
            python=$candidate
            break
        fi
    done
    IFS=$old_ifs
}

uv=
if [ -z "${VENUEKIT_NO_UV:-}" ]; then
    for candidate in uv "$HOME/.local/bin/uv" "$HOME/.cargo/bin/uv"; do
        if "$candidate" --version </dev/null >/dev/null 2>&1; then uv=$candidate; break; fi
    done
fi

if ! suits "$py"; then
    find_python
    [ -n "$python" ] || [ -n "$uv" ] \
        || fail "no working CPython 3.13 or 3.14 found ($tried interpreters tried) and no uv: install one of them, or set VENUEKIT_PYTHON."
    rm -rf "$venv"
    say "making $venv with ${python:-CPython 3.13 that uv provides}"
    if [ -n "$python" ] && "$python" -m venv "$venv" >/dev/null 2>&1; then
        :
    elif [ -n "$uv" ]; then
        "$uv" venv --quiet --seed --python "${python:-3.13}" "$venv" || fail "uv could not make $venv."
    else
        fail "$python has no working venv module: install it (often a package named python3-venv) or install uv."
    fi
    suits "$py" || fail "$py does not run."
fi

pin() { sed -n "s/^\($1==[^ ]*\).*/\1/p" constraints.txt; }
what="-e .[test,sim] -e venues/paradex[test] -e venues/dydx -e venues/lighter"

# Setuptools comes first, in its pinned version, so that the builds need no environment of their own.
with_uv() {
    "$uv" pip install --quiet --python "$py" "$(pin setuptools)" &&
        "$uv" pip install --quiet --python "$py" --constraint constraints.txt --no-build-isolation \
            "$(pin nautilus-trader)" $what
}
with_pip() {
    "$py" -m pip install --quiet "$(pin setuptools)" &&
        "$py" -m pip install --quiet --constraint constraints.txt --no-build-isolation $what
}

say "installing the pinned packages (log: $log)"
: >"$log"
installed=
if [ -n "$uv" ]; then with_uv >>"$log" 2>&1 && installed=uv; fi
if [ -z "$installed" ] && "$py" -m pip --version >/dev/null 2>&1; then with_pip >>"$log" 2>&1 && installed=pip; fi
if [ -z "$installed" ]; then
    tail -n 15 "$log" >&2
    fail "the pinned packages could not be installed (whole log: $log): check the package source of your pip or uv."
fi
fingerprint >"$stamp"
say "ready ($("$py" --version), installed with $installed)"
