"""The key that this user signs with: manifests of what they make, consent records that they write.

It is made on first use and never leaves the platform's configuration folder, where its owner alone may read it. Its
certificate names nobody: it shows that two things were signed by the same key, and that nobody changed them since.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import platformdirs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mueca.errors import InputError, OutputError

KEY_FILE = "signing.pem"
ORGANISATION = "mueca, self-made key"
_VALID_FOR = timedelta(days=365 * 40)
"""Without a time stamp, whatever was signed turns invalid when its certificate expires."""
_SKEW = timedelta(days=1)
"""Clocks differ: a certificate that begins in the future is invalid."""


def config_folder() -> Path:
    """Return the platform's folder for this user's settings and keys of mueca; it may not exist yet."""
    return Path(platformdirs.user_config_dir("mueca", appauthor=False))


def data_folder() -> Path:
    """Return the platform's folder for what mueca keeps for this user; it may not exist yet."""
    return Path(platformdirs.user_data_dir("mueca", appauthor=False))


@dataclass(frozen=True)
class SigningKey:
    """An ECDSA key on P-256 (ES256), with its certificates."""

    private_pem: bytes
    chain_pem: bytes
    """Certificates, the key's own first, then the root that signed it."""

    @property
    def public_pem(self) -> bytes:
        """Its public half (SubjectPublicKeyInfo)."""
        return _public_pem(self._private().public_key())

    @property
    def key_id(self) -> str:
        """The SHA-256 of its public half, as 64 hexadecimal digits."""
        return key_id_of(self.public_pem)

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data``, DER."""
        return self._private().sign(data, ec.ECDSA(hashes.SHA256()))

    def _private(self) -> ec.EllipticCurvePrivateKey:
        private = serialization.load_pem_private_key(self.private_pem, password=None)
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
            raise ValueError("is no key on the curve P-256")
        return private


def user_key(folder: Path | None = None) -> SigningKey:
    """Return this user's key from ``folder``, the platform's when not named; the first call makes it.

    Raises InputError where the key's file is damaged, OutputError where it can't be kept.
    """
    path = (folder or config_folder()) / KEY_FILE
    try:
        if not path.exists():
            _keep(path, _new_key())
        return _read(path)
    except OSError as error:
        raise OutputError(
            f"{path}: the key that results are signed with can't be kept there ({error.strerror}); make it writable"
        ) from error


def has_signed(public_pem: bytes, data: bytes, signature: bytes) -> bool:
    """Tell whether the key with that public half signed ``data``; False for a key or signature that is none."""
    try:
        public = _public_of(public_pem)
        if not isinstance(public, ec.EllipticCurvePublicKey):
            return False
        public.verify(signature, data, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def key_id_of(public_pem: bytes) -> str:
    """Return the SHA-256 of a public key, however its PEM is laid out; raises ValueError where it is none."""
    public = _public_of(public_pem)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public.public_bytes(serialization.Encoding.DER, form)).hexdigest()


def _public_of(public_pem: bytes) -> PublicKeyTypes:
    """Return the public key; raises ValueError where it is none, or of a kind that is not known."""
    try:
        return serialization.load_pem_public_key(public_pem)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error


def _read(path: Path) -> SigningKey:
    data = path.read_bytes()
    head, begin, rest = data.partition(b"-----BEGIN CERTIFICATE-----")
    key = SigningKey(head, begin + rest)
    try:
        leaf = x509.load_pem_x509_certificates(key.chain_pem)[0]
        if _public_pem(leaf.public_key()) != key.public_pem:
            raise ValueError("its certificate is another key's")
    except ValueError as error:
        raise InputError(
            f"{path}: is no whole signing key ({str(error).splitlines()[0]:.80}); move it away, and a new one is made"
        ) from error
    return key


def _keep(path: Path, key: SigningKey) -> None:
    """Write the key so that it appears whole, readable by its owner alone; one that came first stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key.private_pem + key.chain_pem)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was first: its key is this user's
            os.link(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _new_key() -> SigningKey:
    root, private = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name, name = (_name(f"mueca {kind} {uuid.uuid4().hex[:8]}") for kind in ("root", "key"))
    now = datetime.now(UTC)
    leaf_use = [x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])]  # C2PA asks for one of its list
    chain = [
        _certificate(name, private.public_key(), root_name, root, now, is_root=False, more=leaf_use),
        _certificate(root_name, root.public_key(), root_name, root, now, is_root=True, more=[]),
    ]
    pem = serialization.Encoding.PEM
    return SigningKey(
        private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        b"".join(certificate.public_bytes(pem) for certificate in chain),
    )


def _certificate(
    name: x509.Name,
    public: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    *,
    is_root: bool,
    more: list[x509.ExtensionType],
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(_usage(is_root=is_root), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for extension in more:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(*, is_root: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_root, key_cert_sign=is_root, crl_sign=is_root, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _public_pem(public: object) -> bytes:
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise ValueError("is no elliptic curve's key")
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
