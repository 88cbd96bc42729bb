"""Requests over a line that may lose, damage and delay bytes."""

from __future__ import annotations

from galton.errors import LinkError, NoAnswer
from galton.format import REGISTERS, REQUEST
from galton.link.frames import END, Answer, Request, parse
from galton.link.line import Line

ATTEMPTS = 5
SEQUENCES = REQUEST.field("sequence").range[1] + 1

NOISE = 256
"""Bytes beyond two answers after which whatever comes is no answer."""


class Exchange:
    """Requests and their answers, one at a time.

    Parameters: `line`; `attempts` at each request, 1 or more; `patience` in seconds, by default the line's.
    Members: `troubles`, how often something had to be repeated so far.
    """

    def __init__(self, line: Line, attempts: int = ATTEMPTS, patience: float | None = None) -> None:
        if attempts < 1:
            raise ValueError(f"A request needs at least 1 attempt, not {attempts!r}")
        self.line, self.attempts, self.patience = line, attempts, line.patience if patience is None else patience
        self.troubles = 0
        self._sequence = 0
        self._heard = False

    def ask(self, request: Request, *, enabled: int | None = None) -> Answer:
        """The answer to a request that may be repeated. `enabled`: the state of the core that it takes or makes, if any.

        Raises NoAnswer, LinkError, PortError.
        """
        self._heard = False
        for attempt in range(self.attempts):
            self.troubles += attempt > 0
            answer = self.once(request)
            if answer is None or answer.fields["corrupt"] or answer.fields["remaining"]:
                continue
            if enabled is None or answer.fields["enabled"] == enabled:
                return answer
            # Somebody else started the core: what was read or written means nothing.
            self.ask(Request(REGISTERS["control"], words=[enabled]))
        name = self.line.name
        if not self._heard:
            raise NoAnswer(
                f"The board at {name} did not answer {self.attempts} times: is it powered and configured, and is the speed right?"
            )
        raise LinkError(f"{self.attempts} attempts at a request to the board at {name} failed: look at the cable and its speed")

    def once(self, request: Request) -> Answer | None:
        """Send a request once; its answer, None where none comes in time or it is damaged. Raises PortError."""
        self._sequence = (self._sequence + 1) % SEQUENCES
        frame = request.pack(self._sequence)
        self.line.send(frame)
        wait = self.patience + (len(frame) + request.answer_bytes) / self.line.speed
        rest, most = b"", 2 * request.answer_bytes + NOISE
        while most > 0:
            found = self.line.receive(wait)
            if not found:
                return None
            self._heard = True
            most -= len(found)
            *frames, rest = (rest + found).split(END)
            for answer in (parse(piece) for piece in frames if piece):
                if answer is None:
                    return None
                # An answer to an earlier request, late, is passed over.
                if answer.fields["sequence"] == self._sequence and request.fits(answer):
                    return answer
        return None
