"""A certificate for the sandbox, made at every start and good for a day: nothing secret is ever in the repository."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from csmv.pipeline.errors import CsmvError


def make_certificate(folder: Path, hosts: Sequence[str]) -> tuple[Path, Path]:
    """A self-signed certificate for `hosts` and their subdomains: (certificate file, key file) in `folder`."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError:
        raise CsmvError("The sandbox needs the package `cryptography`: pip install 'csmv[demo]'.") from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "csmv sandbox")])
    names = [x509.DNSName(text) for host in hosts for text in (host, f"*.{host}")]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "sandbox.pem", folder / "sandbox.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file
