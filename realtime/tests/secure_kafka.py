"""An Apache Kafka with TLS: a listener with SASL (SCRAM), and one that requires a client's certificate."""

import subprocess
from pathlib import Path

from hyperwatch.harness import apache_kafka
from hyperwatch.harness.kafka import KafkaBroker
from hyperwatch.harness.process import free_port

USER, PASSWORD = "hw", "scram-hunter2"
KEY_PASSWORD = "key-hunter2"

SECURE = """
listeners=SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{ssl},PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{ssl},PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.ssl.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
"""


class SecureKafka(KafkaBroker):
    """`sasl` and `ssl` are the ports of the secure listeners, `port` that of plaintext."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sasl, self.ssl = free_port(), free_port()
        self.ca, self.other_ca = certificate_authority(folder, "ca"), certificate_authority(folder, "other")
        self.certificate, self.key = signed_certificate(folder, "client", self.ca, KEY_PASSWORD)

    def launch(self) -> None:
        if not apache_kafka.properties(self.folder).exists():
            certificate, key = signed_certificate(self.folder, "broker", self.ca)
            (self.folder / "broker.pem").write_text(key.read_text() + certificate.read_text())
            ports = {"sasl": self.sasl, "ssl": self.ssl}
            user = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
            apache_kafka.format_storage(self.folder, self.port, free_port(), SECURE, "--add-scram", user, **ports)
        super().launch()

    def client_env(self, **changes: str) -> dict[str, str]:
        """The settings of a client with user and password."""
        return {
            **self.env,
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{self.sasl}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": PASSWORD,
            "KAFKA_SSL_CA_LOCATION": str(self.ca),
            **changes,
        }

    def certificate_env(self, **changes: str) -> dict[str, str]:
        """The settings of a client with a certificate."""
        return {
            **self.env,
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{self.ssl}",
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CA_LOCATION": str(self.ca),
            "KAFKA_SSL_CERTIFICATE_LOCATION": str(self.certificate),
            "KAFKA_SSL_KEY_LOCATION": str(self.key),
            "KAFKA_SSL_KEY_PASSWORD": KEY_PASSWORD,
            **changes,
        }


def certificate_authority(folder: Path, name: str) -> Path:
    file = folder / f"{name}.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", folder / f"{name}.key", "-out", file)  # fmt: skip
    return file


def signed_certificate(folder: Path, name: str, ca: Path, password: str = "") -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, encrypted if there is a password."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    protection = ["-passout", f"pass:{password}"] if password else ["-nodes"]
    openssl("req", "-x509", "-newkey", "rsa:2048", *protection, "-days", "2", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=IP:127.0.0.1",
            "-CA", ca, "-CAkey", ca.with_suffix(".key"), "-keyout", key, "-out", certificate)  # fmt: skip
    return certificate, key


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
