"""A third party that provides nothing but another signer for a scheme that a venue brings."""

from venuekit.interfaces.hooks import Kind, Provided, hookimpl


@hookimpl
def venuekit_signers():
    return (Provided(Kind.SIGNER, "stark/remote", "only_signer_remote:make_signer"),)
