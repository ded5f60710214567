"""The signer itself; imported only when a config chooses it."""

from attrs import frozen

from venuekit.interfaces.signer import Signed, Where


@frozen
class RemoteSigner:
    """Pretends to ask another machine; its signatures say where they come from."""

    account: str
    public: str = "0x2"
    where: Where = Where.PROCESS

    def warm(self):
        """Nothing to build."""

    def sign(self, request):
        return Signed(signature=b"remote:" + request.kind.encode(), digest=b"\x00" * 32)


def make_signer(secret, facts):
    return RemoteSigner(account=facts.get("account", ""))
