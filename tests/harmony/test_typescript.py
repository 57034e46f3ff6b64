"""JSON Schema to TypeScript beyond the official library: pydantic's schemas, and any other."""

from __future__ import annotations

import datetime
import enum
import json
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel

from gptoss_tui.harmony.schema import MAX_SHAPES
from gptoss_tui.harmony.typescript import typescript


class Color(enum.Enum):
    RED = "red"
    BLUE = 'say "blue"'


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Leg(BaseModel):
    """One flight."""

    start: str
    end: str | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)] = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    name: Annotated[str, Field(pattern="^[A-Z]", description="Its name.\nOr */ another // one.")]


class Node(BaseModel):
    value: int
    children: list[Node] = []


class Everything(BaseModel):
    """All that pydantic writes.

    In two paragraphs.
    """

    model_config = ConfigDict(extra="allow")

    leg: Leg
    back: Leg | None = None
    legs: list[Leg]
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = []
    color: Color = Color.RED
    levels: list[Level]
    mode: Literal["a", 1, True, None] = "a"
    either: list[int | str]
    counts: dict[str, int]
    nested: dict[str, list[Leg | None]]
    free: dict[str, Any]
    pair: tuple[int, str]
    many: tuple[float, ...]
    chosen: set[Literal["x", "y"]]
    when: datetime.date | None = None
    id: uuid.UUID
    tree: Node
    odd: Annotated[str, Field(alias='foo-bar "x"\n', description="One\u2028two\r\nthree\x00")] = 'a "quote"'
    anything: Any = None


EXPECTED = """\
// All that pydantic writes.
//\x20
// In two paragraphs.
{
// One flight.
leg:     // One flight.
{
    start: string,
    end?: string | null, // default: null
    },
// One flight.
back?:     // One flight.
{
    start: string,
    end?: string | null, // default: null
    } | null, // default: null
"""


def _untitled(schema: Any) -> Any:
    """`schema` without the titles that pydantic makes up."""
    if isinstance(schema, dict):
        return {k: _untitled(v) for k, v in schema.items() if not (k == "title" and isinstance(v, str))}
    return [_untitled(one) for one in schema] if isinstance(schema, list) else schema


def test_what_pydantic_writes_is_understood() -> None:
    shown = typescript(_untitled(Everything.model_json_schema(by_alias=True)))
    assert shown.startswith(EXPECTED)
    lines = [line.strip() for line in shown.splitlines()]
    for line in (
        'color?: "red" | "say \\"blue\\"", // default: red',
        "levels: (1 | 2)[],",
        'mode?: "a" | 1 | true | null, // default: a',
        "[key: string]: number,",
        "} | null)[],",
        "free: {",
        "pair: [number, string],",
        "many: number[],",
        'chosen: ("x" | "y")[],',
        "when?: string | null, // default: null",
        "id: string,",
        "children?: any /* Node */[], // default: []",
        '"foo-bar \\"x\\"\\n"?: string, // default: "a \\"quote\\""',
        "anything?: any, // default: null",
        "// Its name.",
        "// Or */ another // one.",
        'kind: "dog",',
    ):
        assert line in lines, (line, shown)
    assert "either: (\n     | number\n     | string)[]," in shown
    assert shown.count('kind: "cat",') == 2


def _property(schema: Any) -> str:
    return typescript({"type": "object", "properties": {"a": schema}}).removeprefix("{\n").removesuffix("\n}")


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        (True, "a?: any,"),
        (False, "a?: never,"),
        ({"type": "null"}, "a?: null,"),
        ({"const": None}, "a?: null,"),
        ({"enum": [1, "x", None, {"k": [1.5]}]}, 'a?: 1 | "x" | null | {"k":[1.5]},'),
        ({"type": "string", "enum": ["x", None], "nullable": True}, 'a?: "x" | null,'),
        ({"enum": [float("nan")]}, "a?: number,"),
        ({"allOf": [{"type": "string"}, {"description": "d"}]}, "// d\na?: string,"),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            "a?: string | null, // default: null",
        ),
        ({"oneOf": [{"type": "string"}], "nullable": True}, "a?:\n | string\n | null\n,"),
        ({"type": ["array", "null"], "items": {"type": "string"}}, "a?: string[] | null,"),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "a?: (string | null)[],"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "a?: [string, ...any[]],"),
        ({"items": [{"type": "string"}], "additionalItems": False}, "a?: [string],"),
        (
            {"type": "object", "patternProperties": {"^x": {"enum": [1, 2]}}},
            "a?: {\n    [key: string]: 1 | 2,\n    },",
        ),
        ({"$ref": "https://example.org/other"}, "a?: any /* other */,"),
        ({"$ref": "#"}, "a?: {\n    a?: any /* # */,\n    },"),
        (
            {"anyOf": [{"required": ["x"]}, {"not": {}}], "type": "object", "properties": {"x": {}}},
            "a?:\n | {\n   x: any,\n   }\n | {\n   x?: any,\n   }\n,",
        ),
    ],
)
def test_schemas_beyond_the_library(schema: Any, shown: str) -> None:
    assert _property(schema) == shown


def test_parts_of_a_whole_are_one_object() -> None:
    base = {"type": "object", "properties": {"x": {"type": "string"}, "y": {}}, "required": ["x"]}
    more = {"properties": {"y": {"type": "integer"}, "z": {}}, "required": ["y"]}
    shown = typescript({"$defs": {"a/b %": base}, "allOf": [{"$ref": "#/$defs/a~1b%20%25"}, more]})
    assert sorted(shown.splitlines()) == sorted(["{", "x: string,", "y: number,", "z?: any,", "}"])


def test_references_to_references_are_not_written_out_without_end() -> None:
    pairs = {f"{i}": {"properties": {k: {"$ref": f"#/$defs/{i + 1}"} for k in "ab"}} for i in range(30)}
    assert typescript({"$ref": "#/$defs/0", "$defs": pairs}).count("\n") < 4 * MAX_SHAPES
    loop = {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}}}
    assert typescript(loop) == "\n | any /* a */\n | any /* b */"


# ---- any schema at all ----

WORDS = st.text(max_size=6) | st.sampled_from(
    [
        "foo-bar",
        "1x",
        "a b",
        '"',
        "\\",
        "*/",
        "//",
        "\n",
        "\r",
        "\u2028",
        "\x00",
        "\x7f",
        "`",
        "${",
        "constructor",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
REFERENCES = st.sampled_from(["#", "#/$defs/a", "#/$defs/b", "#/properties/a", "#/$defs/none", "http://x/*/"])
KINDS = st.sampled_from(["string", "number", "integer", "boolean", "null", "array", "object", "file"])


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, max_size=3)
    named = st.dictionaries(WORDS | st.sampled_from("ab"), inner, max_size=3)
    right: dict[str, st.SearchStrategy[Any]] = {
        "type": KINDS | st.lists(KINDS, max_size=3),
        "enum": st.lists(JSON, max_size=3),
        "const": JSON,
        "$ref": REFERENCES,
        "$defs": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
        "required": st.lists(WORDS, max_size=2),
        "nullable": st.booleans(),
        "title": WORDS,
        "description": WORDS,
        "default": JSON,
        "examples": st.lists(JSON, max_size=2),
        "maxItems": st.integers(0, 3),
        **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), some),
        **dict.fromkeys(("properties", "patternProperties"), named),
        **dict.fromkeys(("items", "additionalProperties", "additionalItems"), inner),
    }
    # One keyword in a few is not what it should be.
    keyword = st.sampled_from(sorted(right))
    entries = keyword.flatmap(lambda key: st.tuples(st.just(key), right[key] | JSON))
    return st.lists(entries, max_size=5).map(dict)


SCHEMAS = st.recursive(st.booleans() | _schemas(JSON), _schemas, max_leaves=6).map(
    lambda schema: schema if isinstance(schema, dict) else {"properties": {"a": schema}}
)

# A string, a comment to the end of its line, a block comment; then what may stand between them.
TOKENS = re.compile(r'"(?:\\.|[^"\\\n\r\u2028\u2029])*"|//[^\n\r\u2028\u2029]*|/\*.*?\*/')
CODE = re.compile(r"[\w$ \n.,:;?|(){}\[\]<>+-]*")


def _brackets(code: str) -> str:
    code = re.sub(r"[^(){}\[\]]", "", code)
    while (less := re.sub(r"\(\)|\{\}|\[\]", "", code)) != code:
        code = less
    return code


@settings(max_examples=500, suppress_health_check=list(HealthCheck))
@given(schema=SCHEMAS)
def test_any_schema_has_a_type_that_no_text_in_it_escapes(schema: dict[str, Any]) -> None:
    code = TOKENS.sub("", typescript(schema) + " END")
    assert CODE.fullmatch(code) and code.endswith(" END") and not _brackets(code)


@settings(max_examples=200)
@given(schema=JSON.filter(lambda value: isinstance(value, dict)))
def test_no_object_raises(schema: dict[str, Any]) -> None:
    assert typescript(schema)


# ---- the compiler ----

CHECK = """
const ts = require("typescript");
const { sources } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const lib = "interface Array<T> { length: number; [n: number]: T } interface Boolean {} " +
  "interface Function {} interface CallableFunction {} interface NewableFunction {} " +
  "interface IArguments {} interface Number {} interface Object {} interface RegExp {} interface String {}";
const files = new Map(sources.map((text, i) => [`/f${i}.ts`, text]).concat([["/lib.d.ts", lib]]));
const options = { noLib: true, noEmit: true, strict: true, target: ts.ScriptTarget.ESNext, types: [] };
const parse = (name, target) => ts.createSourceFile(name, files.get(name), target);
const host = {
  getSourceFile: (name, target) => files.has(name) ? parse(name, target) : undefined,
  fileExists: (name) => files.has(name), readFile: (name) => files.get(name), writeFile: () => {},
  getDefaultLibFileName: () => "/lib.d.ts", getCurrentDirectory: () => "/", getNewLine: () => "\\n",
  getCanonicalFileName: (name) => name, useCaseSensitiveFileNames: () => true,
};
const program = ts.createProgram([...files.keys()], options, host);
const wrong = ts.getPreEmitDiagnostics(program).map((one) => [
  one.file ? one.file.fileName : "", ts.flattenDiagnosticMessageText(one.messageText, " "),
  one.file ? one.file.text : ""]);
console.log(JSON.stringify({ checked: program.getSourceFiles().length - 1, wrong }));
"""


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder from which `node check.cjs` runs the TypeScript compiler."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.fail("This test asks the TypeScript compiler: install Node.js 18 or newer, with npm.")
    folder = tmp_path_factory.mktemp("node")
    (folder / "check.cjs").write_text(CHECK)
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "typescript@5.9.3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, f"npm could not install typescript:\n{done.stderr}"
    return folder


def _compile(compiler: Path, schemas: Iterable[dict[str, Any]]) -> tuple[int, list[Any]]:
    """The number of types that the compiler has read, and its errors."""
    sources = [f"export type f = (_: {typescript(schema)}) => any;\n" for schema in schemas]
    done = subprocess.run(
        ["node", "check.cjs"],
        cwd=compiler,
        input=json.dumps({"sources": sources}),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return answer["checked"], answer["wrong"]


@pytest.mark.slow
def test_the_compiler_accepts_every_type(compiler: Path) -> None:
    schemas: list[dict[str, Any]] = [
        m.model_json_schema() for m in (Everything, Node, Leg, RootModel[list[Cat | Dog]])
    ]

    @settings(max_examples=3_000, database=None, suppress_health_check=list(HealthCheck))
    @given(schema=SCHEMAS)
    def collect(schema: dict[str, Any]) -> None:
        schemas.append(schema)

    collect()
    checked, wrong = _compile(compiler, schemas)
    assert checked == len(schemas) > 3_000
    assert not wrong, "\n\n".join(f"{message}\n{text}" for _, message, text in wrong[:5])


@pytest.mark.slow
def test_the_compiler_is_asked_in_earnest(compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "typescript", lambda schema: schema["shown"])
    shown = ["{\n}", '"a" | "b', "unknown_name", "\n | a // note", "{\na: string\n}[]"]
    checked, wrong = _compile(compiler, [{"shown": one} for one in shown])
    assert checked == len(shown)
    assert {name for name, *_ in wrong} == {"/f1.ts", "/f2.ts", "/f3.ts"}
