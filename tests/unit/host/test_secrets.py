"""References to secrets: found where they say, and never shown."""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path

import pytest

from venuekit.errors import SecretError
from venuekit.host import secrets
from venuekit.host.secrets import parse_secret_ref, resolve_secret
from venuekit.interfaces.signer import SecretKind, SecretRef

VALUE = "open-sesame-9431"


def refusal(text: str, **more) -> str:
    with pytest.raises(SecretError) as caught:
        resolve_secret(parse_secret_ref(text), **more)
    shown = f"{caught.value} {caught.value.hint} {caught.value!r}"
    assert VALUE not in shown
    assert caught.value.__cause__ is None  # a cause's text may hold what ours leaves out
    return shown


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("env:MY_KEY", SecretKind.ENV, "MY_KEY"),
        ("file:~/keys/a.txt", SecretKind.FILE, "~/keys/a.txt"),
        ("keyring:venuekit/main", SecretKind.KEYRING, "venuekit/main"),
        ("cmd:pass show a:b", SecretKind.CMD, "pass show a:b"),
    ],
)
def test_references_are_read_and_written_back(text, kind, target):
    ref = parse_secret_ref(text)
    assert ref == SecretRef(kind, target)
    assert str(ref) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        VALUE,
        f"0x{VALUE}",
        f"vault:{VALUE}",
        f"env:{VALUE}",
        "env:",
        "file: ",
        "keyring:x",
        "cmd:",
        "ENV:A",
    ],
)
def test_what_is_no_reference_is_refused_without_being_repeated(text):
    with pytest.raises(SecretError) as caught:
        parse_secret_ref(text)
    assert VALUE not in f"{caught.value} {caught.value.hint}"
    assert "env:NAME" in caught.value.hint


def test_environment():
    ref = parse_secret_ref("env:K")
    assert resolve_secret(ref, environ={"K": f" {VALUE}\n"}).reveal() == VALUE
    assert "K is not set" in refusal("env:K", environ={})
    assert "is empty" in refusal("env:K", environ={"K": " "})


def test_a_secret_prints_masked():
    secret = resolve_secret(parse_secret_ref("env:K"), environ={"K": VALUE})
    assert VALUE not in f"{secret} {secret!r} {[secret]}"


def test_file(tmp_path, caplog):
    path = tmp_path / "key.txt"
    path.write_text(VALUE + "\n")
    path.chmod(0o600)
    with caplog.at_level(logging.WARNING):
        assert resolve_secret(parse_secret_ref(f"file:{path}")).reveal() == VALUE
        assert resolve_secret(parse_secret_ref("file:key.txt"), base=tmp_path).reveal() == VALUE
        assert not caplog.records
        path.chmod(0o644)
        resolve_secret(parse_secret_ref(f"file:{path}"))
    assert "readable by everyone" in caplog.text
    assert VALUE not in caplog.text
    assert "No such file" in refusal(f"file:{tmp_path}/none")
    assert "directory" in refusal(f"file:{tmp_path}").lower()
    (tmp_path / "binary").write_bytes(b"\xff" + VALUE.encode())
    assert "not UTF-8" in refusal(f"file:{tmp_path}/binary")
    (tmp_path / "huge").write_bytes(b"x" * (secrets.MAX_SECRET_BYTES + 1))
    assert "more than" in refusal(f"file:{tmp_path}/huge")


def test_command_runs_without_a_shell_and_finds_the_interpreters_own_folder(tmp_path):
    # PATH is empty: only the folder of the running interpreter can lead to it.
    name = Path(sys.executable).name
    script = tmp_path / "print_secret.py"
    script.write_text(f"import sys\nprint('{VALUE}', *sys.argv[1:])\n")
    ref = parse_secret_ref(f"cmd:{name} {script} $HOME ';' 'a b'")
    assert resolve_secret(ref, environ={"PATH": ""}).reveal() == f"{VALUE} $HOME ; a b"
    relative = parse_secret_ref(f"cmd:{name} print_secret.py")
    assert resolve_secret(relative, base=tmp_path, environ={"PATH": ""}).reveal() == VALUE


def test_a_failing_command_tells_its_code_and_not_its_output(monkeypatch):
    python = Path(sys.executable).name
    noisy = f"import sys; print('{VALUE}'[:16]); print('{VALUE}'[:16], file=sys.stderr); sys.exit(3)"
    monkeypatch.setattr(secrets, "COMMAND_TIMEOUT_SECS", 0.3)
    with pytest.raises(SecretError) as caught:
        resolve_secret(SecretRef(SecretKind.CMD, f'{python} -c "import time; time.sleep(30)"'))
    assert "did not end within 0.3 s" in str(caught.value)
    monkeypatch.setattr(secrets, "COMMAND_TIMEOUT_SECS", 15)
    ref = SecretRef(SecretKind.CMD, f"{python} -c \"import os; os.write(1, b'half'); os._exit(3)\"")
    with pytest.raises(SecretError, match="exit code 3") as caught:
        resolve_secret(ref)
    assert noisy  # the texts of a real failure stay in the pipes
    assert "was not found" in refusal("cmd:no-such-program-here")
    assert "is empty" in refusal(f"cmd:{python} -c pass")
    assert "is no command" in refusal("cmd:'unbalanced")


def test_keyring_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert "venuekit[keyring]" in refusal("keyring:venuekit/main")
    fake = types.ModuleType("keyring")
    stored = {("venuekit", "main/sub"): VALUE}
    fake.get_password = lambda service, user: stored.get((service, user))
    monkeypatch.setitem(sys.modules, "keyring", fake)
    assert resolve_secret(parse_secret_ref("keyring:venuekit/main/sub")).reveal() == VALUE
    assert "has nothing" in refusal("keyring:venuekit/other")

    def locked(service, user):
        raise RuntimeError(f"locked, password was {VALUE}")

    fake.get_password = locked
    assert "failed on keyring:venuekit/main: RuntimeError" in refusal("keyring:venuekit/main")
