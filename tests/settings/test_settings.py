"""Settings: which source wins, and what a person is told when one of them is wrong."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from gptoss_tui.harmony.message import Effort
from gptoss_tui.settings import KEYS, Servers, Settings, SettingsError, read_settings

# One valid value for each key: as TOML, as text for the environment and the flags, and as it must arrive.
VALUES = {
    "model": ('"/models/gpt-oss-20b"', "/models/gpt-oss-20b", "/models/gpt-oss-20b"),
    "effort": ('"high"', "high", Effort.HIGH),
    "tools": ("[]", "none", ()),
    "functions": ('["/a.py", "/b.py"]', "/a.py,/b.py", ("/a.py", "/b.py")),
    "search": ('"exa"', "exa", "exa"),
    "searxng": ('"http://127.0.0.1:8888"', "http://127.0.0.1:8888", "http://127.0.0.1:8888"),
    "documents": ('"/a/notes"', "/a/notes", Path("/a/notes")),
    "zim": ('"/a/b.zim"', "/a/b.zim", Path("/a/b.zim")),
    "allow_hosts": ('["wiki.local", "[::1]:80"]', "wiki.local,[::1]:80", ("wiki.local", "[::1]:80")),
    "mcp": ('"/a/mcp.json"', "/a/mcp.json", Path("/a/mcp.json")),
    "instructions": ('"Be brief."', "Be brief.", "Be brief."),
    "temperature": ("0", "0", 0.0),
    "top_p": ("0.9", "0.9", 0.9),
    "seed": ("7", "7", 7),
    "max_tokens": ("100", "100", 100),
    "context": ("2048", "2048", 2048),
    "context_full": ('"ask"', "ask", "ask"),
    "device": ('"cpu"', "cpu", "cpu"),
    "threads": ("2", "2", 2),
    "speculate": ("false", "false", False),
    "snapshots": ("0", "0", 0),
    "read_ahead": ("false", "false", False),
    "theme": ('"nord"', "nord", "nord"),
    "pictures": ('"sixel"', "sixel", "sixel"),
    "max_reasoning_tokens": ("64", "64", 64),
    "schema": ('"/a/schema.json"', "/a/schema.json", Path("/a/schema.json")),
    "constrain_headers": ("false", "false", False),
    "reasoning": ('"hidden"', "hidden", "hidden"),
    "reasoning_filter": ('"/a/f.py:look"', "/a/f.py:look", "/a/f.py:look"),
    "sandbox": ('"read-only"', "read-only", "read-only"),
    "container": ('"debian"', "debian", "debian"),
    "ask_for_approval": ('"never"', "never", "never"),
    "max_tool_calls": ("5", "5", 5),
    "reasoning_policy": ('"No secrets."', "No secrets.", "No secrets."),
}

Flags = dict[str, str | list[str]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def read(
    config: Path, toml: str = "", flags: dict[str, str | list[str]] | None = None, **env: str
) -> Settings:
    config.write_text(toml, "utf-8")
    environment = {"GPTOSS_CHAT_CONFIG": str(config)} | {
        f"GPTOSS_CHAT_{k.upper()}": v for k, v in env.items()
    }
    return read_settings(flags or {}, environment)


def test_what_looks_like_a_file_is_one_and_the_rest_are_modules(config: Path) -> None:
    named = ["a.py", "b.py:f", "sub/c.py", "weather", "happy.pyramid", "weather.days:today", "~/d.py"]
    here = config.parent
    assert read(config, f"functions = {named}").functions == (
        *(f"{here}/a.py", f"{here}/b.py:f", f"{here}/sub/c.py"),
        *("weather", "happy.pyramid", "weather.days:today", str(Path("~/d.py").expanduser())),
    )


def test_servers_are_tables_of_the_file(config: Path) -> None:
    settings = read(config, '[mcpServers.files]\ncommand = "files-server"\ncwd = "data"\n')
    assert settings.mcpServers == Servers(
        {"files": {"command": "files-server", "cwd": "data"}}, config.parent
    )
    with pytest.raises(SettingsError, match=r"mcpServers: .* is not a table for each MCP server"):
        read(config, 'mcpServers = "mcp.json"')


def test_every_setting_but_the_dangerous_one_is_a_key() -> None:
    # Rules and tables of servers stand in the file alone: no environment that a program inherits may allow
    # something.
    keys = {field.name for field in fields(Settings)} - {"bypass"}
    assert set(KEYS) == keys == {*VALUES, "permissions", "mcpServers"}


@pytest.mark.parametrize("key", VALUES)
def test_file_environment_and_flag_mean_the_same(key: str, config: Path) -> None:
    toml, text, value = VALUES[key]
    assert getattr(read(config, f"{key} = {toml}"), key) == value
    assert getattr(read(config, "", {key: text}), key) == value
    assert getattr(read(config, "", None, **{key: text}), key) == value
    assert getattr(Settings(), key) != value


def test_rules_are_read_from_the_file(config: Path) -> None:
    toml = """
    [permissions]
    allow = ["functions.get_weather", { rule = "browser.open(https://a.example/*)", match = [
        "browser.open(https://a.example/b)"], not_match = ["browser.open(https://a.example.evil/)"] }]
    deny = ["functions.*"]
    """
    rules = read(config, toml).permissions
    assert list(map(str, rules.allow)) == ["functions.get_weather", "browser.open(https://a.example/*)"]
    assert (list(map(str, rules.deny)), rules.ask) == (["functions.*"], ())


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("permissions = 1", "is not a table"),
        ("[permissions]\nalow = []", "alow"),
        ("[permissions]\nallow = 'python'", "allow is not a list"),
        ("[permissions]\nallow = [1]", "neither a rule nor a table"),
        ("[permissions]\nallow = ['a b']", "'a b' is no rule"),
        ("[permissions]\nallow = ['f()']", "says nothing of the arguments"),
        ("[permissions]\nallow = ['f(a=1, a=2)']", "speaks of a twice"),
        ("[permissions]\nallow = [{rule = 'f', why = 'x'}]", "there is no why"),
        ("[permissions]\ndeny = [{rule = 'f(a*)', match = ['f(b)']}]", r"does not match f\(b\)"),
        ("[permissions]\nask = [{rule = 'f(a*)', not_match = ['f(ab)']}]", r"matches f\(ab\)"),
        ("[permissions]\nask = [{rule = 'f', match = 'f'}]", "match is not a list of calls"),
    ],
)
def test_a_rule_that_is_none_is_told(toml: str, told: str, config: Path) -> None:
    with pytest.raises(SettingsError, match=told) as raised:
        read(config, toml)
    assert str(raised.value).startswith(f"{config}: permissions: ")


def test_no_environment_lays_down_rules(config: Path) -> None:
    with pytest.raises(SettingsError, match="GPTOSS_CHAT_PERMISSIONS"):
        read(config, permissions='{"allow": ["*"]}')


def test_flags_win_over_the_environment_and_that_over_the_file(config: Path) -> None:
    toml = 'seed = 1\ncontext = 1\neffort = "low"'
    settings = read(config, toml, {"seed": "3"}, seed="2", context="2")
    assert (settings.seed, settings.context, settings.effort) == (3, 2, Effort.LOW)


def test_the_platforms_own_config_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    from platformdirs import user_config_path

    folder = user_config_path("gptoss-chat")
    assert folder.is_relative_to(tmp_path)
    assert read_settings({}, {}) == Settings()
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("seed = 5")
    assert read_settings({}, {}).seed == 5


def test_paths_in_the_file_start_from_its_folder(config: Path) -> None:
    (config.parent / "tone.md").write_text("Answer in verse.\n")
    settings = read(config, 'instructions = "@tone.md"\nfunctions = ["tools/weather.py"]')
    assert settings.instructions == "Answer in verse."
    assert settings.functions == (str(config.parent / "tools" / "weather.py"),)


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("temprature = 1", "temprature.*did you mean temperature"),
        ("colour = 1", "colour.*there are model, effort"),
        ("bypass = true", "bypass"),
        ('temperature = "0.5"', "temperature: '0.5' is not a number of at least 0"),
        ("temperature = nan", "temperature: nan"),
        ("temperature = -0.1", "temperature: -0.1"),
        ("temperature = true", "temperature: True"),
        ("top_p = 0", "top_p: 0 is not a number above 0"),
        ("top_p = 1.01", "top_p: 1.01"),
        ("seed = 1.5", "seed: 1.5 is not a whole number"),
        ("seed = true", "seed: True"),
        ("context = 0", "context: 0"),
        ('effort = "max"', "effort: 'max' is not .*low.*medium.*high"),
        ('tools = ["pyhton"]', "tools: .*pyhton.* is not"),
        ('tools = "python"', "tools: 'python'"),
        ('search = "google"', "search: 'google' is not one of duckduckgo, .*offline"),
        ('allow_hosts = ["http://x/"]', "allow_hosts: .*HOST or HOST:PORT"),
        ('allow_hosts = "wiki.local"', "allow_hosts: 'wiki.local'"),
        ("allow_hosts = [1]", "allow_hosts"),
        ("functions = [3]", "functions: .*3"),
        ('device = "gpu"', "device: 'gpu'"),
        ('model = " "', "model: ' '"),
        ('instructions = "@nowhere.md"', "nowhere.md.*No such file"),
        ("seed = = 1", "line 1"),
    ],
)
def test_a_bad_file_is_named_with_its_key(toml: str, told: str, config: Path) -> None:
    with pytest.raises(SettingsError) as error:
        read(config, toml)
    message = str(error.value)
    assert message.startswith(str(config.parent))
    assert re.search(told, message)
    assert "\n" not in message


def test_a_file_that_is_not_text_is_named(config: Path) -> None:
    config.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=f"{config}: not UTF-8"):
        read_settings({}, {"GPTOSS_CHAT_CONFIG": str(config)})


def test_a_named_file_must_exist(config: Path) -> None:
    with pytest.raises(SettingsError, match=f"{config}: No such file"):
        read_settings({}, {"GPTOSS_CHAT_CONFIG": str(config)})


def test_a_bad_environment_variable_is_named(config: Path) -> None:
    with pytest.raises(SettingsError, match="GPTOSS_CHAT_SEED: 'one' is not a whole number"):
        read(config, seed="one")
    with pytest.raises(SettingsError, match=r"GPTOSS_CHAT_SEEDS: .*did you mean seed"):
        read(config, seeds="1")
    assert read(config, seed="").seed is None, "an empty variable is an unset one"


def test_a_bad_flag_is_named_as_it_is_typed(config: Path) -> None:
    with pytest.raises(SettingsError, match="option --max-tokens: 'many' is not"):
        read(config, flags={"max_tokens": "many"})
