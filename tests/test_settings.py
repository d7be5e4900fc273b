"""Settings: which file, what it may say, and one line on what is wrong with it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest
from support import ROOT, Site, free_ports, refusals, wait_until

from shmooze import settings
from shmooze.access.gate import AccessGate
from shmooze.broker import declared as of_types
from shmooze.broker import section as of_sections
from shmooze.broker.broker import Broker
from shmooze.broker.catalog import ATTRIBUTES, by_type, impatient_gateway, types_from_settings
from shmooze.errors import SettingsError
from shmooze.modules.kind import SPAWNS
from shmooze.modules.module import Module
from shmooze.modules.restarts import POLICIES
from shmooze.runtime import declared, schema
from shmooze.settings import Settings
from shmooze.web.limits import Limits

Write = Callable[[Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that makes a settings file: bytes as they are, other values as JSON."""

    def to_file(content: Any) -> Path:
        file = tmp_path / "settings.json"
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return file

    return to_file


@pytest.fixture
def load(write: Write) -> Callable[..., Settings]:
    """A function that loads settings of this content in an environment of its own."""
    return lambda content, **environ: Settings.load(
        {"SHMOOZE_SETTINGS": str(write(content)), **environ}
    )


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """This process' settings as if none had been asked for yet; forgotten after the test."""
    settings.use(None)
    yield monkeypatch
    settings.use(None)


# Which file.


def test_without_the_variable_the_packaged_defaults_are_the_settings() -> None:
    for environ in ({}, {"SHMOOZE_SETTINGS": ""}):
        packaged = Settings.load(environ)
        assert packaged.port("wsgi") == 8080
        assert packaged.services == {"queue": 5580, "pool": 5590}
        assert packaged.public_settings == {
            "name": "shmooze",
            "ports": packaged.values["ports"],
        }
        assert Path(packaged.values["static_path"], "shmooze.js").is_file()


def test_a_file_gets_prefixes_and_static_path_but_neither_ports_nor_public(load: Any) -> None:
    loaded = load({})
    assert (loaded.get("wsgi_prefix"), loaded.get("static_prefix")) == ("/", "/static/")
    assert Path(loaded.get("static_path"), "shmooze.js").is_file()
    assert (loaded.services, loaded.public_settings) == ({}, {})


def test_settings_are_read_on_first_use_and_once(write: Write, fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv("SHMOOZE_SETTINGS", str(write({"color": "red"})))
    assert settings.color == "red"
    fresh.setenv("SHMOOZE_SETTINGS", "/nowhere")
    assert settings.color == "red"
    settings.use(None)
    with pytest.raises(SettingsError, match="/nowhere"):
        settings.get("color")


def test_importing_settings_reads_nothing() -> None:
    environ = {**os.environ, "SHMOOZE_SETTINGS": "/nowhere"}
    code = "import shmooze.settings, shmooze.wsgi, shmooze.queue, shmooze.pool"
    subprocess.run([sys.executable, "-c", code], env=environ, cwd=ROOT, check=True)


def test_settings_of_another_environment_change_nothing_here(
    load: Any, write: Write, fresh: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fresh.setenv("SHMOOZE_SETTINGS", str(write({"color": "red"})))
    assert settings.color == "red"
    assert load({"color": "blue"}).get("color") == "blue"
    assert settings.color == "red"


# Asking.


def test_settings_are_attributes_and_get_has_a_default(load: Any, fresh: Any) -> None:
    settings.use(load({"color": "red", "nothing": None}))
    assert (settings.color, settings.nothing) == ("red", None)
    assert (settings.get("color"), settings.get("nothing", 1)) == ("red", None)
    assert (settings.get("shape"), settings.get("shape", "round")) == (None, "round")


def test_an_unknown_setting_is_an_attribute_error_that_names_file_and_key(
    load: Any, fresh: Any, tmp_path: Path
) -> None:
    settings.use(load({}))
    with pytest.raises(AttributeError, match=r"settings.json: has no `shape`"):
        _ = settings.shape
    assert not hasattr(settings, "shape")


def test_public_settings_are_the_named_ones_as_far_as_they_are_set(load: Any) -> None:
    values = {"public": ["b", "missing", "a"], "a": [1], "b": None, "secret": "x"}
    assert load(values).public_settings == {"a": [1], "b": None}


def test_a_port_that_is_not_named_is_said_with_the_file(load: Any) -> None:
    with pytest.raises(SettingsError, match=r'settings.json: `ports` does not name .* "queue"'):
        load({"ports": {"wsgi": 8080}}).port("queue")


# Paths.


@pytest.mark.parametrize(
    ("path", "expanded"),
    [
        ("/a/b", "/a/b"),
        ("$DATA/log.db", "/data/log.db"),
        ("${DATA}_old/log.db", "/data_old/log.db"),
        ("/x/$DATA$EMPTY/${DATA}", "/x//data//data"),
        ("~", "/home/ann"),
        ("~/log.db", "/home/ann/log.db"),
        ("/a/~/b", "/a/~/b"),
        ("$NESTED/b", "$DATA/b"),
        ("", ""),
    ],
)
def test_paths_are_expanded(load: Any, path: str, expanded: str) -> None:
    environ = {"DATA": "/data", "EMPTY": "", "HOME": "/home/ann", "NESTED": "$DATA"}
    assert load({"log_database_path": path}, **environ).get("log_database_path") == expanded


def test_a_byte_order_mark_is_no_part_of_the_settings(load: Any) -> None:
    assert load(b'\xef\xbb\xbf{"name": "\xc3\xbc"}').get("name") == "ü"


def test_only_keys_that_end_in_path_are_expanded(load: Any) -> None:
    loaded = load({"own_path": "$HOME/a", "own_paths": "$HOME/a", "greeting": "~"}, HOME="/h")
    assert (loaded.get("own_path"), loaded.get("own_paths")) == ("/h/a", "$HOME/a")
    assert loaded.get("greeting") == "~"


# What is wrong.

BAD = {
    "broken-json": (b'{\n  "a": 1,\n  "b" 2\n}', "broken JSON at line 3 column 7"),
    "empty": (b"", "broken JSON at line 1 column 1"),
    "nan": (b'{"name": NaN}', "broken JSON"),
    "endless-number": (b'{"name": ' + b"9" * 5000 + b"}", "broken JSON"),
    "many-digits": (b'{"name": [' + b"9" * 5000 + b"]}", "... has more than 1000 digits"),
    "too-deep": (b'{"name": ' + b"[" * 100_000, "broken JSON: nested too deeply"),
    "not-utf-8": (b'{"name": "\xe9"}', "is not UTF-8"),
    "twice": (b'{"ports": {}, "name": "a", "ports": {}}', 'duplicate key "ports" in one object'),
    "twice-within": (b'{"own": [{"a": 1, "a": 1}]}', 'duplicate key "a" in one object'),
    "no-object": ([1], "must hold one JSON object"),
    "ports-list": ({"ports": [1]}, "`ports` must be an object"),
    "port-text": ({"ports": {"wsgi": "80"}}, 'a port number (1 to 65535) or "host:port", not "80"'),
    "port-true": ({"ports": {"wsgi": True}}, 'must be a port number (1 to 65535) or "host:port"'),
    "port-float": ({"ports": {"wsgi": 80.0}}, "`ports.wsgi` must be a port number"),
    "port-null": ({"ports": {"wsgi": None}}, "`ports.wsgi` must be a port number"),
    "port-0": ({"ports": {"wsgi": 0}}, "`ports.wsgi` must be a port number"),
    "port-65536": ({"ports": {"wsgi": 65536}}, 'a port number (1 to 65535) or "host:port", not 6'),
    "port-twice": ({"ports": {"a": 1, "b": 2, "c": 1}}, "`ports.c` is 1, which `ports.a` has too"),
    "service-slash": ({"ports": {"a/b": 1}}, "`ports.a/b` has a bad name: it must be a part of"),
    "service-empty": ({"ports": {"": 1}}, "has a bad name: it must be a part of a URL"),
    "public-text": ({"public": "name"}, '`public` must be a list of keys, not "name"'),
    "public-numbers": ({"public": [1]}, "`public` must be a list of keys, not [1]"),
    "prefix-relative": ({"wsgi_prefix": "app/"}, "`wsgi_prefix` must be a path that starts and"),
    "prefix-open": ({"static_prefix": "/static"}, "`static_prefix` must be a path that starts"),
    "prefix-line": ({"static_prefix": "/static/\n"}, "ends with '/', not \"/static/\\n\""),
    "prefix-null": ({"wsgi_prefix": None}, "`wsgi_prefix` must be a path"),
    "path-number": ({"log_database_path": 5}, "`log_database_path` must be a path, not 5"),
    "path-null-character": ({"own_path": "a\0b"}, '`own_path` must be a path, not "a\\u0000b"'),
    "path-unset": ({"static_path": "$NOWHERE/x"}, "`static_path` uses $NOWHERE, which is not set"),
    "path-braces": ({"own_path": "${NOWHERE}"}, "`own_path` uses $NOWHERE, which is not set"),
}


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD)
def test_bad_settings_are_one_line_that_names_file_and_key(
    load: Any, tmp_path: Path, content: Any, words: str
) -> None:
    with pytest.raises(SettingsError) as bad:
        declared.check(load(content))
    assert str(bad.value).startswith(f"settings file {tmp_path / 'settings.json'}: ")
    assert words in str(bad.value)
    assert len(str(bad.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [("missing.json", "cannot be read: No such file"), (".", "cannot be read: Is a directory")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(SettingsError) as bad:
        Settings.load({"SHMOOZE_SETTINGS": str(tmp_path / name)})
    assert str(bad.value).startswith(f"settings file {tmp_path / name}: {words}")


def expect_refusal(source: Path, words: str, *programs: str) -> None:
    """Each program must end with status 2 and say in one line what `words` say."""
    argvs = [[sys.executable, "-m", f"shmooze.{program}"] for program in programs]
    for line in refusals(*argvs, settings_file=source):
        assert line.startswith(f"shmooze: settings file {source}: ")
        assert words in line


#: Checked in every program too; the others differ from these in words only.
OF_EVERY_KIND = ["broken-json", "port-twice", "path-unset"]


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_EVERY_KIND)
def test_every_program_refuses_bad_settings_in_one_line(write: Write, name: str) -> None:
    content, words = BAD[name]
    expect_refusal(write(content), words, "wsgi", "queue", "pool")


@pytest.mark.slow
def test_every_program_refuses_a_missing_file_or_a_directory(tmp_path: Path) -> None:
    expect_refusal(tmp_path / "missing.json", "No such file", "wsgi", "queue", "pool")
    expect_refusal(tmp_path, "Is a directory", "wsgi", "queue", "pool")


@pytest.mark.slow
def test_every_program_needs_its_port(write: Write) -> None:
    types = {"modules": {"t": {"process": ["true"]}}}
    file = write({"ports": {"other": free_ports(1)[0]}, "queue": types, "pool": types})
    expect_refusal(file, "`ports` does not name the service", "wsgi", "queue", "pool")


@pytest.mark.slow
@pytest.mark.parametrize("timeout", ["soon", 0])
def test_the_gateway_needs_its_timeout_to_be_seconds(write: Write, timeout: Any) -> None:
    file = write({"ports": {"wsgi": free_ports(1)[0]}, "wsgi_timeout": timeout})
    expect_refusal(file, "`wsgi_timeout` must be a number", "wsgi")


# Every key, without a program.

SECONDS, COUNT = "must be a number of seconds above 0", "must be a whole number above 0"
ADDRESS = "must be an address to listen on"
BAD_VALUES = [
    ("allowed_hosts", "x", 'must be a list of host names, not "x"'),
    ("allowed_hosts", None, "must be a list of host names, not null"),
    ("allowed_hosts", ["a", 1], 'must be a list of host names, not ["a", 1]'),
    ("allowed_hosts", ["x:80"], 'needs bare host names, not "x:80"'),
    ("allowed_hosts", ["*"], 'needs bare host names, not "*"'),
    ("allowed_origins", {}, 'must be a list of origins such as "https://example.org", not {}'),
    ("allowed_origins", ["x"], 'needs scheme, host and port alone, not "x"'),
    ("allowed_origins", ["http://x/"], 'needs scheme, host and port alone, not "http://x/"'),
    ("allowed_origins", ["*"], 'needs scheme, host and port alone, not "*"'),
    ("trusted_proxies", [True], "must be a list of addresses or networks, not [true]"),
    ("trusted_proxies", ["proxy"], 'has "proxy", which is not an address'),
    (
        "trusted_proxies",
        ["10.1.2.3/8"],
        'has "10.1.2.3/8", which has host bits set: the network is "10.0.0.0/8"',
    ),
    (
        "trusted_proxies",
        ["fe80::1/10"],
        'has "fe80::1/10", which has host bits set: the network is "fe80::/10"',
    ),
    ("trusted_proxies", ["10.0.0.0/33"], 'has "10.0.0.0/33", which is not an address'),
    ("max_url", -1, f"{COUNT}, not -1"),
    ("max_header", "1k", f'{COUNT}, not "1k"'),
    ("max_body", 0, f"{COUNT}, not 0"),
    ("max_body", 1.5, f"{COUNT}, not 1.5"),
    ("max_connections", True, f"{COUNT}, not true"),
    ("max_connections", None, f"{COUNT}, not null"),
    ("header_timeout", "1", f'{SECONDS}, not "1"'),
    ("body_timeout", 0, f"{SECONDS}, not 0"),
    ("idle_timeout", -0.5, f"{SECONDS}, not -0.5"),
    ("send_timeout", [1], f"{SECONDS}, not [1]"),
    ("send_timeout", True, f"{SECONDS}, not true"),
    ("service_host", 5, f"{ADDRESS}, not 5"),
    ("service_host", "", f'{ADDRESS}, not ""'),
    ("service_host", "\ud800", f'{ADDRESS}, not "\\ud800"'),
    ("wsgi_host", None, f"{ADDRESS}, not null"),
    ("wsgi_host", "a\0b", f'{ADDRESS}, not "a\\u0000b"'),
    ("wsgi_timeout", "soon", f'{SECONDS}, not "soon"'),
    ("wsgi_workers", 101, "must be a whole number from 1 to 100, not 101"),
    ("wsgi_workers", 2.0, "must be a whole number from 1 to 100, not 2.0"),
    ("max_modules", "many", f'{COUNT}, or null, not "many"'),
    ("max_adds_per_minute", -1, f"{COUNT}, or null, not -1"),
    ("max_adds_per_minute", "a" * 100, f'{COUNT}, or null, not "{"a" * 56}...'),
]


def read_everything(source: Settings) -> None:
    """Read all keys at the top as programs do."""
    schema.read(declared.Application, source.values, source.error)
    schema.read(declared.Gateway, source.values, source.error)
    Limits.of(source)
    AccessGate(lambda environ, start_response: [], "127.0.0.1", source)
    declared.quota(source, "queue")


@pytest.mark.parametrize(("key", "value", "words"), BAD_VALUES)
def test_a_value_that_cannot_be_used_is_told_with_what_it_must_be(
    load: Any, tmp_path: Path, key: str, value: Any, words: str
) -> None:
    with pytest.raises(SettingsError) as bad:
        read_everything(load({key: value}))
    assert str(bad.value) == f"settings file {tmp_path / 'settings.json'}: `{key}` {words}"


def test_values_that_can_be_used_are_taken(load: Any) -> None:
    source = load(
        {
            "name": 5,
            "bg_color": None,
            "wsgi_timeout": 5,
            "max_body": 10**30,
            "max_modules": None,
            "queue": {"max_modules": 7, "max_adds_per_minute": None},
            "pool": ["an application's own"],
        }
    )
    read_everything(source)
    assert schema.read(declared.Gateway, source.values, source.error).wsgi_timeout == 5.0
    assert Limits.of(source).max_body == 10**30
    assert declared.quota(source, "queue") == {"max_modules": 7, "max_adds_per_minute": None}
    assert declared.quota(source, "pool") == {"max_modules": None}


def test_a_bad_quota_is_named_where_it_stands(load: Any) -> None:
    with pytest.raises(SettingsError, match=r"`queue\.max_modules` must be a whole number above 0"):
        declared.quota(load({"max_modules": 5, "queue": {"max_modules": 0}}), "queue")
    assert declared.quota(load({"max_modules": 0, "queue": {"max_modules": 5}}), "queue") == {
        "max_modules": 5
    }


OWN = "if it is the application's own, call it `app_{0}`, or put it under `app`"


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("wsgi_timout", " did you mean `wsgi_timeout`?"),
        ("Ports", " did you mean `ports`?"),
        ("queu", " did you mean `queue`?"),
        ("jukebx", " did you mean `jukebox`?"),
        ("volume_device", ""),
        ("two\nlines", ""),
    ],
)
def test_an_unknown_key_is_a_warning_with_the_nearest_known_one(
    load: Any, tmp_path: Path, key: str, hint: str
) -> None:
    source = load({"ports": {"jukebox": 5580}, "jukebox": {"own": 1}, key: 1})
    key = key.replace("\n", "\\n")
    assert declared.unknown_keys(source) == [
        f"settings file {tmp_path / 'settings.json'}: `{key}` is unknown;{hint} {OWN.format(key)}"
    ]


def test_known_keys_and_those_of_the_application_are_no_warning(load: Any) -> None:
    known = {key: None for group in declared.GROUPS for key in schema.keys_of(group)}
    paths = {key: "/" for key in known if key.endswith("_path")}
    source = load(
        {
            **known,
            **paths,
            "ports": {"vol": 5600},
            "app": {"color": "red"},
            "app_color": "red",
            "vol": {},
            "queue": {},
            "pool": {},
        }
    )
    assert declared.unknown_keys(source) == []
    assert declared.unknown_keys(Settings.load({})) == []


def test_an_unknown_key_in_the_section_of_a_queue_is_a_warning(load: Any) -> None:
    source = load({"queue": {"modules": {}, "max_module": 5, "app_x": 1, "app": 1}, "pool": 5})
    [warning] = of_sections.unknown_keys(source, "queue")
    assert "`queue.max_module` is unknown; did you mean `max_modules`?" in warning
    assert of_sections.unknown_keys(source, "pool") == []


def test_each_program_warns_once_of_an_unknown_key(make_site: Callable[..., Site]) -> None:
    types = {"clock": {"process": [sys.executable, "examples/modules/clock.py"]}}
    values = {"wsgi_timout": 5, "wsgi_workers": 2, "pool": {"modules": types, "max_module": 5}}
    site = make_site(services=("wsgi", "pool"), settings=values).start()
    site.ask("pool", "add", type="clock")
    site.stop()  # all that they say is written then
    for name in ("wsgi", "pool"):
        assert site.log(name).count("`wsgi_timout` is unknown; did you mean `wsgi_timeout`?") == 1
    assert site.log("pool").count("`pool.max_module` is unknown") == 1


# The declarations.

DECLARED = [*declared.GROUPS, of_sections.Section, of_types.ModuleType]
PAGE = (ROOT / "docs" / "reference" / "settings.md").read_text()
DECLARED_KEYS = {name: key for group in DECLARED for name, key in schema.keys_of(group).items()}


@pytest.mark.parametrize("name", DECLARED_KEYS)
def test_each_declared_key_has_a_meaning_and_is_documented(name: str) -> None:
    assert re.fullmatch(r"[A-Z`].*\.", DECLARED_KEYS[name].meaning)
    assert f"\n| `{name}` |" in PAGE


def test_packaged_defaults_are_what_is_declared() -> None:
    packaged = Settings.load({})
    read_everything(packaged)
    for key, value in json.loads((ROOT / "shmooze/default_settings.json").read_text()).items():
        if key.endswith("_prefix"):
            assert schema.keys_of(declared.Application)[key].default == value
    loaded = {key for key in packaged.values if key not in ("static_path", "state_path")}
    assert loaded == set(json.loads((ROOT / "shmooze/default_settings.json").read_text()))


def test_the_state_file_is_in_the_folder_for_state_if_no_settings_file_is_named() -> None:
    home = {"HOME": "/home/ada"}
    for environ, path in [
        (home, "/home/ada/.local/state/shmooze/state.db"),
        ({**home, "XDG_STATE_HOME": "/var/$x"}, "/var/$x/shmooze/state.db"),
        ({**home, "XDG_STATE_HOME": "relative"}, "/home/ada/.local/state/shmooze/state.db"),
        ({"HOME": ""}, None),
    ]:
        assert Settings.load(environ).get("state_path") == path


def test_a_settings_file_without_the_key_has_no_state_file(load: Any) -> None:
    assert load({}).get("state_path") is None
    assert load({"state_path": "~/s.db"}, HOME="/home/ada").get("state_path") == "/home/ada/s.db"


def test_the_state_file_is_not_the_log(load: Any) -> None:
    with pytest.raises(SettingsError, match="`state_path` is the file of `log_database_path` too"):
        declared.check(load({"state_path": "/x/../same.db", "log_database_path": "/same.db"}))


def test_classes_have_the_defaults_that_are_declared() -> None:
    for name, key in schema.keys_of(of_types.ModuleType).items():
        assert key.required or getattr(Module, ATTRIBUTES.get(name, name)) == key.default, name
    for name, key in schema.keys_of(declared.Quota).items():
        assert getattr(Broker, name) == key.default, name
    choices = {name: get_args(get_args(DECLARED_KEYS[name].kind)[0]) for name in CHOICES}
    assert choices == CHOICES


CHOICES = {"restart": POLICIES, "spawn": SPAWNS}


# Module types.

BAD_SECTIONS = [
    ([], "`queue` must be an object"),
    ({}, "`queue.modules` names no module type"),
    ({"modules": []}, "`queue.modules` must be an object of types"),
    ({"modules": {"t": ["true"]}}, '`queue.modules.t` must be an object with "process", not ["'),
    ({"moduls": {"t": {}}}, "`queue.moduls` is unknown; did you mean `modules`?"),
    ({"modules": {"t": {"proces": ["true"]}}}, "`queue.modules.t.proces` is unknown; did you mean"),
    ({"modules": {"t": {"x": 1}}}, "`queue.modules.t.x` is unknown; known: process, connect_time"),
    ({"modules": {"": {"process": ["true"]}}}, "`queue.modules.` "),
    ({"modules": {"a\0b": {"process": ["true"]}}}, "it has characters that cannot be shown"),
]
BAD_TYPES = [
    ("process", {}),
    *(
        ("process", {"process": process})
        for process in [[], "sleep 5", ["sleep", 5], ["a\0b"], ["\ud800"], [""]]
    ),
    ("proces", {"process": ["true"], "proces": 1}),
    ("natural_death_timeout", {"process": ["true"], "natural_death_timeout": 0}),
    ("sigterm_timeout", {"process": ["true"], "sigterm_timeout": True}),
    ("connect_timeout", {"process": ["true"], "connect_timeout": -1}),
    ("command_timeout", {"process": ["true"], "command_timeout": "2"}),
    ("command_timeout", {"process": ["true"], "command_timeout": None}),
    ("restart", {"process": ["true"], "restart": "sometimes"}),
]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        *BAD_SECTIONS,
        *(({"modules": {"t": bad}}, f"`queue.modules.t.{key}` ") for key, bad in BAD_TYPES),
    ],
    ids=str,
)
def test_a_bad_description_of_a_module_type_is_named(
    load: Any, fresh: Any, section: Any, words: str
) -> None:
    settings.use(load({"queue": section}))
    with pytest.raises(SettingsError) as bad:
        by_type(types_from_settings("queue", "modules"))
    assert words in str(bad.value)
    assert len(str(bad.value).splitlines()) == 1


NUMBER_OF_SECONDS = "must be a number of seconds above 0, not"
BAD_ATTRIBUTES = [
    ("process", "sleep 5", 'must be a list of strings, program first, not "sleep 5"'),
    ("process", ["sleep", 5], 'must be a list of strings, program first, not ["sleep", 5]'),
    ("process", [], "must name a program first"),
    ("process", None, "must be a list of strings, program first, not null"),
    ("connect_timeout", None, f"{NUMBER_OF_SECONDS} null"),
    ("command_timeout", "2", f'{NUMBER_OF_SECONDS} "2"'),
    ("natural_death_timeout", 0, f"{NUMBER_OF_SECONDS} 0"),
    ("sigterm_timeout", True, f"{NUMBER_OF_SECONDS} true"),
    ("standby_timeout", -1.5, f"{NUMBER_OF_SECONDS} -1.5"),
    ("restart_delay", [1], f"{NUMBER_OF_SECONDS} [1]"),
    ("restart_limit", 0, "must be a number above 0, not 0"),
    ("max_parameters_bytes", "4M", 'must be a number above 0, not "4M"'),
    ("max_state_bytes", 0, "must be a number above 0, not 0"),
    ("restart", "sometimes", 'must be one of "never", "on-failure", "always", not "sometimes"'),
    ("restart", None, 'must be one of "never", "on-failure", "always", not null'),
    ("spawn", "later", 'must be one of "eager", "lazy", not "later"'),
    ("standby", -1, "must be a whole number, 0 or more, not -1"),
    ("lookahead", 1.5, "must be a whole number, 0 or more, not 1.5"),
]


@pytest.mark.parametrize(("key", "value", "words"), BAD_ATTRIBUTES)
def test_a_mistake_in_a_module_type_is_told_alike_in_the_settings_and_in_a_class(
    load: Any, fresh: Any, tmp_path: Path, key: str, value: Any, words: str
) -> None:
    described = {"process": ["true"], key: value}
    settings.use(load({"queue": {"modules": {"t": described}}}))
    with pytest.raises(SettingsError) as bad:
        types_from_settings("queue", "modules")
    where = f"settings file {tmp_path / 'settings.json'}: `queue.modules.t.{key}`"
    assert str(bad.value) == f"{where} {words}"
    made = type("Own", (Module,), {"TYPE_STRING": "own", **described})
    with pytest.raises(SettingsError) as bad:
        by_type([made])
    assert str(bad.value) == f"Own: `{key}` {words}"


def test_a_class_may_have_any_number_or_a_property_and_needs_a_name_and_a_program() -> None:
    class Good(Module):
        TYPE_STRING = "good"
        process = ("true",)
        command_timeout = Fraction(1, 2)

        @property
        def sigterm_timeout(self) -> float:
            return 1.0

    assert by_type([Good]) == {"good": Good}
    for attributes, words in [
        ({}, "Bad needs a TYPE_STRING, a name that can be shown"),
        ({"TYPE_STRING": "a\nb"}, "Bad needs a TYPE_STRING, a name that can be shown"),
        ({"TYPE_STRING": "a"}, "Bad: `process` is missing; it must be a list of strings, program"),
    ]:
        with pytest.raises(SettingsError, match=re.escape(words)):
            by_type([type("Bad", (Module,), attributes)])
    with pytest.raises(SettingsError, match='another module has the TYPE_STRING "good" too'):
        by_type([Good, Good])


def test_a_good_description_is_a_module_type(load: Any, fresh: Any) -> None:
    process = ["sleep", "5"]
    settings.use(load({"queue": {"modules": {"t": {"process": process, "sigterm_timeout": 0.5}}}}))
    [made] = by_type(types_from_settings("queue", "modules")).values()
    assert (made.TYPE_STRING, made.process, made.sigterm_timeout) == ("t", process, 0.5)
    assert types_from_settings("queue", "backgrounds", may_be_empty=True) == []


def test_times_of_a_class_for_1_2_4_are_told_with_the_number_to_write() -> None:
    class Old(Module):
        TYPE_STRING = "old"
        process = ["true"]
        connect_timeout = timedelta(milliseconds=2500)

    words = "Old: `connect_timeout` must be a number of seconds: 2.5, not a timedelta"
    with pytest.raises(SettingsError, match=re.escape(words)):
        by_type([Old])


def test_a_gateway_that_waits_for_less_than_a_module_may_take_is_told(
    load: Any, fresh: Any
) -> None:
    described = {"slow": {"process": ["true"], "command_timeout": 90}, "w": {"process": ["true"]}}
    settings.use(load({"queue": {"modules": described}}))
    types = types_from_settings("queue", "modules")
    assert impatient_gateway(types) == (
        "`command_timeout` of slow is 90 s, and `wsgi_timeout` only 60 s:"
        " the gateway will give up before the module does"
    )
    settings.use(load({"queue": {"modules": described}, "wsgi_timeout": 90}))
    assert impatient_gateway(types) is None
    settings.use(load({"wsgi_timeout": 4}))
    warning = impatient_gateway(types)
    assert warning is not None
    assert "`command_timeout` of w is 5 s, `connect_timeout` of slow is 5 s" in warning


def test_a_pool_tells_of_an_impatient_gateway_at_its_start(make_site: Callable[..., Site]) -> None:
    described = {"slow": {"process": ["true"], "command_timeout": 61}}
    site = make_site(services=("pool",), settings={"pool": {"modules": described}}).start()
    words = "pool: `command_timeout` of slow is 61 s, and `wsgi_timeout`"
    wait_until(lambda: words in site.log("pool"), "it is told")


@pytest.mark.slow
def test_a_queue_refuses_a_bad_type_and_a_pool_its_own(write: Write) -> None:
    bad = {"modules": {"t": {"process": []}}}
    good = {"modules": {"t": {"process": ["true"]}}}
    expect_refusal(write({"queue": bad}), "`queue.modules.t.process` ", "queue")
    expect_refusal(write({"pool": bad}), "`pool.modules.t.process` ", "pool")
    expect_refusal(
        write({"queue": {**good, "backgrounds": bad["modules"]}}),
        "`queue.backgrounds.t.process` ",
        "queue",
    )


@pytest.mark.parametrize(
    ("process", "words"),
    [
        ("sleep 5", "must be a list of strings, program first"),
        ([], "must name a program first"),
        (["sleep", "a\0b"], 'has a null character in "a\\u0000b"'),
        (["\ud800"], 'has "\\ud800" in it, which cannot be written in this locale\'s utf-8'),
    ],
)
def test_what_is_wrong_with_a_program_is_told(
    load: Any, fresh: Any, process: Any, words: str
) -> None:
    settings.use(load({"queue": {"modules": {"t": {"process": process}}}}))
    with pytest.raises(SettingsError) as bad:
        types_from_settings("queue", "modules")
    assert words in str(bad.value)


def test_a_program_that_the_locale_cannot_write_is_named(write: Write) -> None:
    types = {"modules": {"t": {"process": ["caf\xe9"]}}}
    file = write({"ports": {"queue": free_ports(1)[0]}, "queue": types})
    plain = ["env", "LC_ALL=C", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0"]
    (line,) = refusals([*plain, sys.executable, "-m", "shmooze.queue"], settings_file=file)
    assert '`queue.modules.t.process` has "caf\\u00e9" in it' in line
    assert "this locale's ascii" in line
