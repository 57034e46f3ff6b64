"""FakeEngine: an Engine that plays scripts, for whoever writes a front end or tests one, without any weights.

A script says what no honest model says on demand: malformed headers, calls of any tool, floods, deaths. Free
of torch, and in no process of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from gptoss_tui.model.engine.engine import (
    Abilities,
    Detail,
    EngineDied,
    EngineInfo,
    Finished,
    Generation,
    Item,
    Loading,
    PrefillProgress,
    Request,
    Token,
)
from gptoss_tui.model.errors import EngineError
from gptoss_tui.model.sampling import check

if TYPE_CHECKING:
    import tiktoken

Piece = str | int | asyncio.Event | Exception
"""What a script is made of: a text, a token id, something to wait for, a failure."""

Script = str | Sequence[Piece]

ABLE = Abilities(
    constrains=False,
    token_ids=True,
    logprobs=True,
    alternatives=True,
    experts=True,
    parallel=True,
    reads_ahead=True,
)
_LOGPROB = -0.1
_ALTERNATIVES = 5
_LAYERS, _EXPERTS, _FIRED = 24, 32, 4  # of gpt-oss-20b


class FakeEngine:
    """An Engine that plays one script a generation, in the order in which the generations begin.

    A script is a text in harmony notation, put into tokens by `tokenizer`, or a list of pieces: texts, token
    ids, an asyncio.Event to wait for, and exceptions, which are raised there. An EngineError ends the
    generation, an EngineDied all that are open, and the next one loads again. Otherwise a script plays up to
    a stop id of its request or up to a bound; where it has no more to say, that counts as one ("length").
    No constraint is enforced, and `info` says so. Seconds and probabilities are made up, and the same each
    time.

    `pause` seconds pass before each token; `context` and `longest_answer` are those of a checkpoint, in
    tokens; a load ends when `hold` is set, and fails while there is a `load_failure`; reading ahead ends when
    `hold_ahead` is set; `abilities` are what it claims to be able to do, and it never does more. All of this
    may be changed at any time, and scripts added. `requests` keeps what was asked for, `ahead` the prompts
    that were read ahead (`reading_ahead` of them now), `loads` how often it was loaded. One event loop only,
    as with any Engine.
    """

    def __init__(
        self,
        tokenizer: tiktoken.Encoding,
        *scripts: Script,
        pause: float = 0.0,
        context: int = 4096,
        longest_answer: int | None = None,
        hold: asyncio.Event | None = None,
        hold_ahead: asyncio.Event | None = None,
        load_failure: EngineError | None = None,
        abilities: Abilities = ABLE,
    ) -> None:
        self.tokenizer = tokenizer
        self.scripts: list[Script] = list(scripts)
        self.pause = pause
        self.context = context
        self.longest_answer = longest_answer
        self.hold = hold
        self.hold_ahead = hold_ahead
        self.load_failure = load_failure
        self.abilities = abilities
        self.requests: list[Request] = []
        self.ahead: list[tuple[int, ...]] = []
        self.reading_ahead = 0
        self.loads = 0
        self._loading = asyncio.Lock()
        self._death: asyncio.Future[str] | None = None

    @property
    def prompts(self) -> list[str]:
        """The prompt of each request, in harmony notation."""
        return [self.tokenizer.decode(list(request.prompt_ids)) for request in self.requests]

    async def load(self) -> AsyncIterator[Loading]:
        """Pretend to load, with progress: `Engine.load`."""
        async with self._loading:
            if self._lives:
                return
            yield Loading("reading the script", 1, 4)
            if self.hold is not None:
                await self.hold.wait()
            if self.load_failure is not None:
                raise self.load_failure
            self._death = asyncio.get_running_loop().create_future()
            self.loads += 1

    def generate(self, request: Request) -> Generation:
        """Play the next script, loading first if need be: `Engine.generate`.

        Reading it raises IndexError when there is no script left: that is a mistake of whoever wrote them.
        """
        return Generation(partial(self._play, request))

    async def read_ahead(self, prompt_ids: Sequence[int], opening: int = 0) -> None:
        """Pretend to read `prompt_ids`, until `hold_ahead` is set: `Engine.read_ahead`."""
        if not (self._lives and self.abilities.reads_ahead):
            return
        self.ahead.append(tuple(prompt_ids))
        self.reading_ahead += 1
        try:
            if self.hold_ahead is not None:
                await self.hold_ahead.wait()
        finally:
            self.reading_ahead -= 1

    def info(self) -> EngineInfo | None:
        """What is loaded, or None before the first load, after a death and once closed."""
        able, vocabulary = self.abilities, self.tokenizer.n_vocab
        info = EngineInfo("fake", "no device", self.context, vocabulary, 0, 0.1, able, self.longest_answer)
        return info if self._lives else None

    async def close(self) -> None:
        """End it. Generations that are open end with EngineDied."""
        self._die("engine closed")

    @property
    def _lives(self) -> bool:
        return self._death is not None and not self._death.done()

    def _die(self, message: str) -> None:
        if self._death is not None and not self._death.done():
            self._death.set_result(message)

    async def _play(self, request: Request, stop: asyncio.Future[None]) -> AsyncGenerator[Item, None]:
        self._check(request)
        await _before(self._load(), stop)
        if stop.done():
            yield Finished("cancelled", 0.0, 0.0)
            return
        assert self._death is not None
        self.requests.append(request)
        if not self.scripts:
            raise IndexError(f"FakeEngine has no script for request {len(self.requests)}.")
        spoken = self._spoken(self.scripts.pop(0), stop, self._death)
        read = len(request.prompt_ids)
        yield PrefillProgress(read, read, 0)
        room, limit = self.context - read, request.sampling.bound(self.longest_answer)
        most = room if limit is None else min(room, limit)
        reason: Literal["stop", "length", "context", "cancelled"] = "length"
        async with aclosing(spoken) as tokens:
            written = 0
            async for token in tokens:
                yield self._token(token, request.detail)
                written += 1
                if token in request.stop_ids:
                    reason = "stop"
                    break
                if written == most:
                    reason = "length" if most == limit else "context"
                    break
            else:
                reason = "cancelled" if stop.done() else "length"
        yield Finished(reason, 0.1, 0.1)

    def _check(self, request: Request) -> None:
        """Raise EngineError for what no engine can do."""
        try:
            check(request.sampling)
        except ValueError as error:
            raise EngineError(f"{error}.") from None
        if (read := len(request.prompt_ids)) >= self.context:
            raise EngineError(f"The prompt has {read:,} tokens and the context holds {self.context:,}.")

    async def _spoken(
        self, script: Script, stop: asyncio.Future[None], death: asyncio.Future[str]
    ) -> AsyncGenerator[int, None]:
        """The tokens of `script`, each in its time, until `stop`. Raises its failures, and `death`."""
        for piece in self._pieces(script):
            if isinstance(piece, EngineDied):
                self._die(str(piece))
            elif isinstance(piece, Exception):
                raise piece
            elif isinstance(piece, asyncio.Event):
                await _before(piece.wait(), stop, death)
            elif self.pause:
                await _before(asyncio.sleep(self.pause), stop, death)
            else:
                await asyncio.sleep(0)
            if death.done():
                raise EngineDied(death.result())
            if stop.done():
                return
            if isinstance(piece, int):
                yield piece

    async def _load(self) -> None:
        async for _ in self.load():
            pass

    def _pieces(self, script: Script) -> Iterator[int | asyncio.Event | Exception]:
        """The script with its texts put into tokens."""
        for piece in (script,) if isinstance(script, str) else script:
            if isinstance(piece, str):
                yield from self.tokenizer.encode(piece, allowed_special="all")
            else:
                yield piece

    def _token(self, token: int, detail: Detail) -> Token:
        """The token, with what `detail` asks for."""
        detail &= self.abilities.detail
        return Token(
            token,
            _LOGPROB,
            self._alternatives(token) if Detail.ALTERNATIVES in detail else (),
            _experts(token) if Detail.EXPERTS in detail else (),
        )

    def _alternatives(self, token: int) -> tuple[Token, ...]:
        vocabulary = self.tokenizer.n_vocab
        others = [Token((token + n) % vocabulary, -2.5 - n) for n in range(1, _ALTERNATIVES)]
        return (Token(token, _LOGPROB), *others)


def _experts(token: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple((token + layer + n) % _EXPERTS for n in range(_FIRED)) for layer in range(_LAYERS))


async def _before(waiting: Coroutine[Any, Any, object], *ends: asyncio.Future[Any]) -> None:
    """Wait for `waiting`, until one of `ends` is done at the latest; raises what it raises."""
    task = asyncio.ensure_future(waiting)
    try:
        await asyncio.wait((task, *ends), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        if task.cancel():
            await asyncio.gather(task, return_exceptions=True)
