"""Turns a reference into a secret at the moment it is needed. No message here ever contains a secret."""

from __future__ import annotations

import importlib
import logging
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from venuekit.errors import SecretError
from venuekit.interfaces.signer import Secret, SecretKind, SecretRef

COMMAND_TIMEOUT_SECS = 15
MAX_SECRET_BYTES = 64 * 1024
FORMS = "env:NAME, file:PATH, keyring:SERVICE/USER or cmd:COMMAND"

log = logging.getLogger("venuekit.host.secrets")


def parse_secret_ref(text: str) -> SecretRef:
    """Read a reference. A text that is none may be a secret itself, so the error does not repeat it."""
    prefix, colon, target = text.partition(":")
    kinds = {kind.value: kind for kind in SecretKind}
    if not colon or prefix not in kinds:
        raise SecretError(
            "must be a reference to a secret, not the secret itself",
            hint=f"write {FORMS}; a real key that stood in a file should be replaced.",
        )
    kind = kinds[prefix]
    shapes = {SecretKind.ENV: r"[A-Za-z_][A-Za-z0-9_]*", SecretKind.KEYRING: r"[^/]+/.+"}
    if not target.strip() or not re.fullmatch(shapes.get(kind, r"[^\x00]+"), target):
        raise SecretError(f"is no reference of the form {prefix}:...", hint=f"write {FORMS}.")
    return SecretRef(kind, target)


def resolve_secret(
    ref: SecretRef, *, base: Path | None = None, environ: Mapping[str, str] | None = None
) -> Secret:
    """The secret behind a reference; a relative file is looked for below `base`. May block for seconds."""
    environment = os.environ if environ is None else environ
    if ref.kind is SecretKind.ENV:
        value = _from_environment(ref, environment)
    elif ref.kind is SecretKind.FILE:
        value = _from_file(ref, base)
    elif ref.kind is SecretKind.KEYRING:
        value = _from_keyring(ref)
    else:
        value = _from_command(ref, base, environment)
    if not (value := value.strip()):
        raise SecretError(f"{ref} is empty")
    return Secret(value)


def _from_environment(ref: SecretRef, environ: Mapping[str, str]) -> str:
    value = environ.get(ref.target)
    if value is None:
        raise SecretError(
            f"the environment variable {ref.target} is not set", hint=f"set {ref.target} and start again."
        )
    return value


def _from_file(ref: SecretRef, base: Path | None) -> str:
    path = (base or Path()) / Path(ref.target).expanduser()
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            content = stream.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise SecretError(
            f"{ref} cannot be read: {error.strerror}", hint="check the path and its permissions."
        ) from None
    if mode & stat.S_IROTH:
        log.warning("the secret file %s is readable by everyone; chmod 600 would keep it private", path)
    return _text(ref, content)


def _from_keyring(ref: SecretRef) -> str:
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        raise SecretError(
            f"{ref} needs the package keyring", hint="install the extra: venuekit[keyring]."
        ) from None
    service, _, user = ref.target.partition("/")
    try:
        value = keyring.get_password(service, user)
    except Exception as error:  # noqa: BLE001
        # Back ends raise what they like, and their texts may hold the secret: the type has to do.
        log.info("the keyring refused %s: %s", ref, type(error).__name__)
        raise SecretError(
            f"the keyring failed on {ref}: {type(error).__name__}", hint="unlock the keyring."
        ) from None
    if not isinstance(value, str):
        raise SecretError(
            f"the keyring has nothing for {ref}", hint=f"store it: keyring set {service} {user}"
        )
    return value


def _from_command(ref: SecretRef, base: Path | None, environ: Mapping[str, str]) -> str:
    try:
        words = shlex.split(ref.target)
    except ValueError:
        words = []
    if not words:
        raise SecretError(f"{ref} is no command", hint="check its quotes.")
    # The interpreter's own folder comes first: a tool installed beside us is found in any shell.
    path = os.pathsep.join(filter(None, [str(Path(sys.executable).parent), environ.get("PATH", os.defpath)]))
    program = shutil.which(words[0], path=path)
    if program is None:
        raise SecretError(f"the command of {ref} was not found", hint="give its whole path.")
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, without a shell
            [program, *words[1:]],
            cwd=base,
            env={**environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_SECS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SecretError(
            f"{ref} did not end within {COMMAND_TIMEOUT_SECS} s", hint="it must not ask anything."
        ) from None
    except OSError as error:
        raise SecretError(f"{ref} could not be started: {error.strerror}", hint="run it by hand.") from None
    if done.returncode != 0:
        raise SecretError(f"{ref} ended with exit code {done.returncode}", hint="run it by hand to see why.")
    return _text(ref, done.stdout)


def _text(ref: SecretRef, content: bytes) -> str:
    if len(content) > MAX_SECRET_BYTES:
        raise SecretError(f"{ref} holds more than {MAX_SECRET_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise SecretError(f"{ref} is not UTF-8 text") from None
