"""Packaging. The static files stand at the top of the checkout and go into the package."""

import re
import sys
from pathlib import Path

# By itself the command installs nothing that shmooze needs; with --root a packager sees to that.
if "install" in sys.argv[1:] and not any(word.startswith("--root") for word in sys.argv):
    sys.exit("shmooze: `setup.py install` cannot install it any more; use `pip install .`")

from setuptools import setup

here = Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (here / "shmooze/__init__.py").read_text())[1]

setup(
    name="shmooze",
    version=version,
    description="A framework for process-backed web applications",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=["shmooze", "shmooze.lib", "shmooze.modules", "shmooze.static"],
    package_dir={"shmooze.static": "static"},
    package_data={
        "shmooze": ["default_settings.json", "py.typed"],
        "shmooze.static": ["*", "console/*"],
    },
    scripts=["scripts/shmz", "scripts/shmz-watch"],
    zip_safe=False,
    install_requires=[
        "bottle>=0.13",
        "gevent>=24.10",
        "httptools>=0.6.4",
        "msgspec>=0.19",
        "psutil>=5.9",
    ],
    extras_require={
        "supervisor": ["supervisor>=4.2.5"],
        "dev": [
            "axe-playwright-python",
            "build",
            "hypothesis",
            "matplotlib",
            "mypy",
            "playwright",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "ruff",
            "setuptools",
            "supervisor>=4.2.5",
            "waitress",
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
