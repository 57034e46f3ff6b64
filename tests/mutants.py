"""Mutants: controls that are taken out one at a time, each of which must fail a test.

`make mutants` copies the tree, takes out one control after the other, and runs the tests that hold it. A
mutant that no test catches is named, and the exit status is 1. `make mutants ONLY="consent window"` takes
those whose names have one of the words. The tests of each run are few, and stop at the first that fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A control, its file, the text that is replaced there (once), and the arguments of pytest."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS = (
    # What is kept
    Mutant(
        "commit before the show",
        "gptoss_tui/agent/session.py",
        "            await recorder.save()\n            for news",
        "            for news",
        "tests/agent/test_sessions.py tests/history/test_recorder.py",
    ),
    Mutant(
        "synchronous commits",
        "gptoss_tui/history/store.py",
        "pragma synchronous = full",
        "pragma synchronous = off",
        "tests/history/test_store.py",
    ),
    Mutant(
        "a store that its owner alone can read",
        "gptoss_tui/history/store.py",
        "os.O_CREAT | os.O_RDWR, 0o600",
        "os.O_CREAT | os.O_RDWR, 0o644",
        "tests/history",
    ),
    Mutant(
        "a result for a call under way",
        "gptoss_tui/history/record.py",
        "    return [Message(Role.TOOL, lost, name=call.recipient, channel=call.channel)]",
        "    return []",
        "tests/history tests/agent/test_sessions.py",
    ),
    Mutant(
        "the check for damaged pages",
        "gptoss_tui/history/check.py",
        '    return " ".join(next(wrong, "").split())',
        '    return ""',
        "tests/history/test_damage.py",
    ),
    Mutant(
        "damage that a statement meets",
        "gptoss_tui/history/store.py",
        "                if not is_damage(error):\n                    raise\n                self._rescue",
        "                raise\n                self._rescue",
        "tests/history/test_damage.py",
    ),
    Mutant(
        "the log of another file",
        "gptoss_tui/history/store.py",
        'damage_of_log(self.file) if is_alone else ""',
        '""',
        "tests/history/test_damage.py",
    ),
    Mutant(
        "one owner a conversation",
        "gptoss_tui/agent/session.py",
        "        return await store.claim(name)",
        "        return None",
        "tests/history/test_claims.py",
    ),
    Mutant(
        "what is being written, on disk",
        "gptoss_tui/history/recorder.py",
        "if not self.trouble and any(record.has_grown for record in self._records):",
        "if False:",
        "tests/history/test_drafts.py --timeout 60",
    ),
    Mutant(
        "the mark of an unfinished turn",
        "gptoss_tui/history/record.py",
        "            self.end_turn(UNFINISHED)",
        "            pass",
        "tests/history/test_drafts.py",
    ),
    Mutant(
        "the last conversation by count",
        "gptoss_tui/history/stored.py",
        '"written desc"',
        '"touched desc"',
        "tests/history/test_store.py",
    ),
    Mutant(
        "a row that no store wrote",
        "gptoss_tui/history/stored.py",
        "        except ODD:\n            odd.append(len(path))",
        "        except ():\n            odd.append(len(path))",
        "tests/history/test_store.py",
    ),
    Mutant(
        "a file that was read-only is opened again",
        "gptoss_tui/history/store.py",
        "            if code in _REOPEN:",
        "            if False:",
        "tests/history/test_recorder.py",
    ),
    Mutant(
        "the log folded in",
        "gptoss_tui/history/store.py",
        "pragma wal_checkpoint(truncate)",
        "select 1",
        "tests/history/test_recorder.py",
    ),
    Mutant(
        "the renderer is started again",
        "gptoss_tui/agent/renderer.py",
        "for attempt in (1, 2):",
        "for attempt in (2,):",
        "tests/agent/test_renderer.py",
    ),
    # What the model is shown
    Mutant(
        "a message measured before it is kept",
        "gptoss_tui/agent/room.py",
        '        if length <= most:\n            return ""',
        '        return ""',
        "tests/agent/test_room.py",
    ),
    Mutant(
        "room for an answer",
        "gptoss_tui/agent/context.py",
        "        return self.context - self.answer",
        "        return self.context",
        "tests/agent/test_context.py",
    ),
    Mutant(
        "no call without its result in what is shown",
        "gptoss_tui/agent/context.py",
        "    return not _is_output(messages[place]) and _is_output(messages[place - 1])",
        "    return True",
        "tests/agent/test_context.py",
    ),
    Mutant(
        "an output within the context",
        "gptoss_tui/calls/output.py",
        "longest = await room.longest(self, note) if room is not None else LONGEST_OUTPUT",
        "longest = LONGEST_OUTPUT",
        "tests/agent/test_room.py",
    ),
    Mutant(
        "a summary as the model's own words",
        "gptoss_tui/agent/context.py",
        "        Message(Role.ASSISTANT, cut.summary, channel=Channel.FINAL),",
        "        Message(Role.DEVELOPER, cut.summary),",
        "tests/agent/test_context.py",
    ),
    Mutant(
        "a cut on disk",
        "gptoss_tui/history/store.py",
        "    if cuts is not None:\n        gone",
        "    if False:\n        gone",
        "tests/agent/test_room.py",
    ),
    # What the model writes
    Mutant(
        "no other author",
        "gptoss_tui/harmony/parse.py",
        "        self._header, self._state = [], _State.ENDED\n        return [Repair",
        "        return [Repair",
        "tests/harmony/test_malformed.py tests/harmony/test_injection.py",
    ),
    Mutant(
        "no call on the final channel",
        "gptoss_tui/agent/turn.py",
        "is_misplaced = called.channel is Channel.FINAL",
        "is_misplaced = False",
        "tests/agent/test_turn.py tests/calls/test_tool_loop.py",
    ),
    Mutant(
        "no control character for the terminal",
        "gptoss_tui/events/printable.py",
        "    return _UNSAFE.sub(_mark, text)",
        "    return text",
        "tests/events",
    ),
    Mutant(
        "no direction mark for the terminal",
        "gptoss_tui/events/printable.py",
        '_UNSAFE = re.compile(f"[{_CONTROLS}{_BIDI}',
        '_UNSAFE = re.compile(f"[{_CONTROLS}',
        "tests/events",
    ),
    Mutant(
        "invisible characters in a question",
        "gptoss_tui/events/printable.py",
        "    return _INVISIBLE.sub(_REPLACEMENT, printable(text))",
        "    return printable(text)",
        "tests/events tests/tui/test_approval.py",
    ),
    Mutant(
        "an end to repetition",
        "gptoss_tui/agent/turn.py",
        "MOST_EQUAL = 3",
        "MOST_EQUAL = 3_000",
        "tests/agent/test_turn.py tests/agent/test_stops.py tests/calls/test_tool_loop.py",
    ),
    # What the person types
    Mutant(
        "no key of a paste",
        "gptoss_tui/tui/terminal/reader.py",
        "            if self._pasted is not None:\n                yield",
        "            if False:\n                yield",
        "tests/tui/terminal",
    ),
    # What runs
    Mutant(
        "consent",
        "gptoss_tui/permissions/policy.py",
        "        return Asked(why, proposal, remedy, risk.reach)",
        "        return Allowed()",
        "tests/permissions tests/calls/test_tool_loop.py",
    ),
    Mutant(
        "deny before bypass",
        "gptoss_tui/permissions/policy.py",
        "        if self.bypass:\n            return Allowed()\n        asking",
        "        asking",
        "tests/permissions",
    ),
    Mutant(
        "deny in doubt",
        "gptoss_tui/permissions/policy.py",
        "_first(self.rules.deny, call, in_doubt=True)",
        "_first(self.rules.deny, call)",
        "tests/permissions",
    ),
    Mutant(
        "consent for this definition",
        "gptoss_tui/permissions/policy.py",
        "if answer.digest == _digest(tool)]",
        "]",
        "tests/permissions",
    ),
    Mutant(
        "consent for this reach",
        "gptoss_tui/permissions/policy.py",
        "any(answer.covers(risk.reach) for answer in unchanged)",
        "any(unchanged)",
        "tests/permissions",
    ),
    Mutant(
        "an edited call is asked about again",
        "gptoss_tui/calls/call.py",
        "case Allowed() if not is_edited:",
        "case Allowed():",
        "tests/calls tests/permissions tests/tui/test_approval.py",
    ),
    Mutant(
        "an end to output",
        "gptoss_tui/calls/call.py",
        "        if self.collected.length > MOST_OUTPUT:\n            raise _PrintedTooMuch\n",
        "",
        "tests/calls",
    ),
    Mutant(
        "output cut for the model",
        "gptoss_tui/calls/output.py",
        "        if self.length <= longest:\n            return self._head + note",
        "        if True:\n            return self._head + note",
        "tests/calls",
    ),
    # What is fetched
    Mutant(
        "no address of a private network",
        "tools/browser/network/policy.py",
        '("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")',
        '("10.0.0.0/8", "192.168.0.0/16")',
        "tests/tools/test_browser_policy.py",
    ),
    Mutant(
        "no address within an address",
        "tools/browser/network/policy.py",
        "    if inner := _within(address):\n",
        "    if inner := ():\n",
        "tests/tools/test_browser_policy.py",
    ),
    Mutant(
        "no other port",
        "tools/browser/network/policy.py",
        "if port in self.ports or self.allows(host, port):",
        "if True:",
        "tests/tools/test_browser_policy.py tests/tools/test_browser_web.py",
    ),
    Mutant(
        "rules at every hop",
        "tools/browser/network/web.py",
        "            hops.check(str(target), str(url))\n",
        "",
        "tests/tools/test_browser_web.py tests/agent/test_browsing.py tests/permissions",
    ),
    Mutant(
        "no way from https to http",
        "tools/browser/network/web.py",
        'if url.scheme == "https" and target.scheme != "https":',
        "if False:",
        "tests/tools/test_browser_web.py",
    ),
    # What is confined
    Mutant(
        "the filter of system calls",
        "tools/sandbox/narrow.py",
        '    load(base64.b64decode(spec["filter"]), spec["stand_ins"])\n',
        "",
        "tests/tools/test_sandbox_filter.py tests/tools/test_sandbox.py",
    ),
    Mutant(
        "the confinement to files",
        "tools/sandbox/narrow.py",
        '    if spec["landlock"] is not None:\n',
        "    if False:\n",
        "tests/tools/test_sandbox.py",
    ),
    Mutant(
        "no network in the sandbox",
        "tools/sandbox/bubblewrap.py",
        '*("--unshare-all", "--unshare-user", "--disable-userns"),',
        '*("--unshare-all", "--share-net", "--unshare-user", "--disable-userns"),',
        "tests/tools/test_sandbox.py tests/tools/test_sandbox_escapes.py",
    ),
    # What is computed
    Mutant(
        "the scale that is no number",
        "kernels/mxfp4.py",
        "powers[SCALE_NAN] = torch.nan",
        "powers[SCALE_NAN] = torch.inf",
        "tests/kernels/test_mxfp4.py",
    ),
    Mutant(
        "the window",
        "kernels/reference.py",
        "(distance < 0) | (distance >= window)",
        "(distance < 0) | (distance > window)",
        "tests/kernels/test_reference.py",
    ),
    Mutant(
        "the sinks",
        "kernels/reference.py",
        "share = torch.cat([scores, sink], dim=-1).softmax(dim=-1)[..., :-1].to(v.dtype)",
        "share = scores.softmax(dim=-1).to(v.dtype)",
        "tests/kernels/test_reference.py",
    ),
    Mutant(
        "the softmax of the chosen experts alone",
        "kernels/reference.py",
        "best.float().softmax(dim=-1).to(logits.dtype)",
        "logits.float().softmax(dim=-1).gather(1, chosen).to(logits.dtype)",
        "tests/kernels/test_reference.py",
    ),
    Mutant(
        "the gate without a lower bound",
        "kernels/reference.py",
        "gate = x[..., 0::2].clamp(max=limit)",
        "gate = x[..., 0::2].clamp(-limit, limit)",
        "tests/kernels/test_reference.py",
    ),
    Mutant(
        "positions that are not rounded",
        "model/rope.py",
        "if rope.truncate:",
        "if True:",
        "tests/model/test_rope.py",
    ),
    Mutant(
        "snapshots that are whole",
        "model/engine/snapshots.py",
        "    if digest.digest() != expected:\n",
        "    if False:\n",
        "tests/model/test_snapshots.py",
    ),
    # What is read
    Mutant(
        "no pickle",
        "model/checkpoint/shards.py",
        "    if any(next(folder.glob(pattern), None) for pattern in _PICKLES):",
        "    if False:",
        "tests/model/test_load.py",
    ),
    Mutant(
        "no shard outside the folder",
        "model/checkpoint/shards.py",
        """if shard in ("", ".", "..") or any(character in shard for character in "/\\\\\\0"):""",
        "if False:",
        "tests/model/test_load.py",
    ),
    Mutant(
        "no pipe in the place of a file",
        "model/checkpoint/files.py",
        "    if not stat.S_ISREG(status.st_mode):",
        "    if False:",
        "tests/model/test_load.py -k pipe",
    ),
    Mutant(
        "no tensor twice",
        "model/checkpoint/shards.py",
        "    if len(values) < len(pairs):",
        "    if False:",
        "tests/model/test_load.py",
    ),
    # How it ends
    Mutant(
        "no process is left",
        "gptoss_tui/workers/parent.py",
        "        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)",
        "        pass",
        "tests/workers",
    ),
    Mutant(
        "no error goes into the answer's stream",
        "gptoss_tui/cli/streams.py",
        "            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free",
        "            pass",
        "tests/end_to_end/test_streams.py",
    ),
)


def survivors(mutants: Sequence[Mutant], copy: Path) -> Iterator[Mutant]:
    """Those of the mutants, in a copy of the tree, that no test catches; says how each fares."""
    for mutant in mutants:
        file = copy / mutant.file
        whole = file.read_text()
        if whole.count(mutant.old) != 1:
            print(f"{mutant.name}: STALE, its text stands {whole.count(mutant.old)} times in {mutant.file}")
            yield mutant
            continue
        file.write_text(whole.replace(mutant.old, mutant.new))
        try:
            is_caught, how = _caught(mutant, copy)
        finally:
            file.write_text(whole)
        print(f"{mutant.name}: {'caught' if is_caught else 'SURVIVES'} ({how})", flush=True)
        if not is_caught:
            yield mutant


def _caught(mutant: Mutant, copy: Path) -> tuple[bool, str]:
    command = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *mutant.tests.split())
    # With CI set a sandbox that does not hold fails its tests, and leaves none out.
    environment = {
        **os.environ,
        "CI": "1",
        "PYTHONPATH": str(copy / "path"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        finished = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
    except subprocess.TimeoutExpired:
        return True, "its tests do not end"
    last = (finished.stdout.strip() or finished.stderr.strip() or "nothing said").splitlines()
    failed = next((line for line in last if line.startswith("FAILED")), last[-1])
    return finished.returncode == 1, failed.removeprefix("FAILED ")[:120]


def main(words: Sequence[str]) -> int:
    """Run the mutants whose names have one of the words, all without any; the exit status."""
    chosen = [each for each in MUTANTS if not words or any(word in each.name for word in words)]
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "tree"
        ignored = shutil.ignore_patterns(
            ".git", ".venv", "build", "dist", "__pycache__", ".*_cache", ".hypothesis"
        )
        shutil.copytree(ROOT, copy, symlinks=True, ignore=ignored)
        # The root itself on the path would have kernels/ shadow other packages of that name.
        (copy / "path").mkdir()
        (copy / "path" / "gptoss_tui").symlink_to(copy / "gptoss_tui")
        alive = list(survivors(chosen, copy))
    print(f"{len(chosen) - len(alive)} of {len(chosen)} caught")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
