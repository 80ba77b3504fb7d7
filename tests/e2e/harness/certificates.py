"""Certificates for one test, made by the openssl program in a directory of the test's: an authority, a server, clients."""

import pathlib
import shutil
import subprocess
import tempfile

CONFIG = """
[ca]
default_ca = own
[own]
database = {directory}/index.txt
default_md = sha256
default_crl_days = 2
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
"""


def openssl(*arguments):
    result = subprocess.run(["openssl", *[str(argument) for argument in arguments]], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise AssertionError(f"openssl {arguments}: {result.stderr}")


class Authority:
    """Makes NAME.crt and NAME.key in its directory; itself is ca.crt, its list of revoked ones ca.crl."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.serial = 0
        self.config = self.directory / "openssl.cnf"
        self.config.write_text(CONFIG.format(directory=self.directory), encoding="ascii")
        (self.directory / "index.txt").write_text("", encoding="ascii")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2,
                "-subj", "/CN=authority", "-config", self.config, "-extensions", "authority",
                "-keyout", self.file("ca.key"), "-out", self.file("ca.crt"))
        self.list_revoked()

    def file(self, name):
        return self.directory / name

    def make(self, name, *, common_name=None, alternative="", days=2, rsa=False):
        """The certificate's file; days=-1: it has expired."""
        self.serial += 1
        request, extensions = self.file(f"{name}.csr"), self.file(f"{name}.ext")
        extensions.write_text(f"subjectAltName={alternative}\n" if alternative else "", encoding="ascii")
        key = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        openssl("req", "-newkey", *key, "-nodes", "-config", self.config,
                "-subj", f"/CN={common_name or name}", "-keyout", self.file(f"{name}.key"), "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.file("ca.crt"), "-CAkey", self.file("ca.key"),
                "-set_serial", self.serial, "-days", days, "-extfile", extensions, "-out", self.file(f"{name}.crt"))
        return self.file(f"{name}.crt")

    def revoke(self, name):
        openssl("ca", "-config", self.config, "-cert", self.file("ca.crt"), "-keyfile", self.file("ca.key"),
                "-revoke", self.file(f"{name}.crt"))
        self.list_revoked()

    def list_revoked(self):
        openssl("ca", "-config", self.config, "-cert", self.file("ca.crt"), "-keyfile", self.file("ca.key"),
                "-gencrl", "-out", self.file("ca.crl"))


def temporary_authority(test_class, prefix):
    """A directory that goes with the test class, and in it an authority that has made a server's certificate for localhost."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    test_class.addClassCleanup(shutil.rmtree, directory)
    authority = Authority(directory / "ca")
    authority.make("server", common_name="localhost", alternative="DNS:localhost,IP:127.0.0.1")
    return directory, authority
