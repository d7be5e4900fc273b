"""Packaging. The static files stand at the top of the checkout and go into the package."""

import re
import subprocess
import sys
from pathlib import Path

here = Path(__file__).resolve().parent

# `setup.py install` by itself leaves out the libraries that shmooze needs, so pip does it.
# Packagers, who pass one of these options, see to the libraries themselves.
_PACKAGING = ("--root", "--record", "--single-version-externally-managed")
if sys.argv[1:2] == ["install"] and not any(word.startswith(_PACKAGING) for word in sys.argv):
    sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *sys.argv[2:], str(here)]))

from setuptools import find_packages, setup

version = re.search(r'__version__ = "(.+)"', (here / "shmooze/__init__.py").read_text())[1]

# The viewer of the gateway's page `docs`: of this package only the files of Swagger UI are used.
DOCS = ["flask-swagger-ui>=5.20"]
# For scripts/docs, which builds the pages of the folder docs.
PAGES = ["furo>=2024.8", "myst-parser>=4", "sphinx>=8.1"]
# For schedules by cron expressions; and the time zones, where the system has none.
SCHEDULES = ["cronsim>=2.6", "tzdata"]
# For modules on other machines: their certificates, and Dask, which may place them.
CLUSTER = ["cryptography>=42", "distributed>=2025.1"]
# For the metrics of queues, pools and gateway.
TRACING = ["opentelemetry-sdk>=1.25", "opentelemetry-exporter-otlp-proto-http>=1.25"]
METRICS = ["prometheus-client>=0.20"]
# For the fast part of the tests.
TEST = [
    *METRICS,
    *TRACING,
    *SCHEDULES,
    "hypothesis",
    "jsonschema",
    "openapi-spec-validator",
    "pytest",
    "pytest-timeout",
    "pytest-xdist>=3.7",
]

setup(
    name="shmooze",
    version=version,
    description="A framework for process-backed web applications",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=[*find_packages(include=["shmooze", "shmooze.*"]), "shmooze.static"],
    package_dir={"shmooze.static": "static"},
    package_data={
        "shmooze": [
            "access/login.html",
            "default_settings.json",
            "cli/application/*",
            "cli/application/page/*",
            "gateway/docs/*",
            "py.typed",
        ],
        "shmooze.static": ["*", "console/*"],
    },
    scripts=["scripts/shmz", "scripts/shmz-watch"],
    entry_points={"console_scripts": ["shmooze = shmooze.cli.main:main"]},
    zip_safe=False,
    install_requires=[
        "bottle>=0.13",
        "gevent>=24.10",
        "httptools>=0.6.4",
        "jsonschema-rs>=0.40",
        "msgspec>=0.19",
        "psutil>=5.9",
    ],
    extras_require={
        "cluster": CLUSTER,
        "docs": DOCS,
        "metrics": METRICS,
        "pages": PAGES,
        "schedules": SCHEDULES,
        "supervisor": ["supervisor>=4.2.5"],
        "test": TEST,
        "tracing": TRACING,
        # What scripts/bench compares with.
        "bench": ["circus", "dramatiq[redis]", "huey", "redis", "rq", "supervisor>=4.2.5"],
        "dev": [
            *CLUSTER,
            *DOCS,
            *PAGES,
            *TEST,
            "axe-playwright-python",
            "build",
            "imageio-ffmpeg",
            "ipykernel",
            "jupyter-server",
            "matplotlib",
            "mcp>=2",
            "mcp-server-time",
            "mutagen>=1.47",  # examples/jukebox/requirements.txt
            "mypy",
            "openai>=1.40",
            "playwright",
            "ruff",
            "segno>=1.6",  # examples/jukebox/requirements.txt
            "setuptools",
            "supervisor>=4.2.5",
            "waitress",
            "websockets",
            "wheel",
        ],
    },
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Environment :: Web Environment",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Typing :: Typed",
    ],
)
