"""Every error that Millions raises, in one tree. Nothing here imports anything else of Millions.

    MillionsError                 M000  root; catch this to catch all of them
    ├── StackFileError            M100  millions.toml cannot be read or is wrong
    ├── MachineError              M200  this machine lacks something (a port, a program, room)
    ├── UnitFailedError           M300  a unit did not start, or keeps dying
    ├── ReleaseError              M310  a release did not become ready; nothing was changed
    ├── StateError                M400  the state folder is damaged, foreign, or of another version
    ├── DirectoryError            M410  the directory document cannot be read
    ├── DataRefusedError          M420  an action could lose data and was refused
    ├── NotRunningError           M430  a command needs a stack that runs, and it does not
    ├── ClimbError                M480  a climb stopped; it says how to go on or back
    ├── MoveError                 M450  a database was not moved; it is where it was, or says how on
    ├── ConsensusError            M440  the servers that agree on who leads did not answer
    ├── HistoryError              M460  a history of operations cannot be read
    ├── BackupError               M470  a backup cannot be made, found or restored
    └── SdkError                  M500  root of what application code can meet
        ├── NotShardableError     M510  a model could never be sharded
        ├── NotRoutableError      M511  a statement or key cannot be sent to one shard
        ├── CommitUnknownError    M512  the connection broke during COMMIT: done or not, unknown
        ├── UnavailableError      M513  an engine did not answer within the bounded wait
        ├── ConflictError         M520  compare-and-set met another version
        ├── TaskError             M530  a task cannot be declared, encoded or decoded
        ├── EventError            M531  an event cannot be published or subscribed to
        ├── FileRefusedError      M540  an upload is too large, empty or of a refused type
        └── SignatureError        M550  a cookie, URL or token is forged, altered or expired

Each error says three things: what cannot be done, because of which value found, and one thing
to try.
"""

from __future__ import annotations


class MillionsError(Exception):
    """One failure in three lines: cannot / because / try.

    `cannot` names the deed and its object, `because` the value found, `try_` one edit or command.
    """

    code = "M000"

    def __init__(self, *, cannot: str, because: str, try_: str) -> None:
        super().__init__(cannot, because, try_)
        self.cannot = cannot
        self.because = because
        self.try_ = try_

    def __str__(self) -> str:
        return f"cannot {self.cannot}\n  because: {self.because}\n  try: {self.try_}"


class StackFileError(MillionsError):
    """`millions.toml` cannot be read or holds something wrong."""

    code = "M100"


class MachineError(MillionsError):
    """This machine lacks what is needed: a free port, a program, room on the disk."""

    code = "M200"


class UnitFailedError(MillionsError):
    """A unit did not start, or keeps dying."""

    code = "M300"


class ReleaseError(MillionsError):
    """A release did not become ready; what ran before still runs."""

    code = "M310"


class StateError(MillionsError):
    """The state folder is damaged, belongs to another stack, or is of another version."""

    code = "M400"


class DirectoryError(MillionsError):
    """The directory document cannot be read."""

    code = "M410"


class DataRefusedError(MillionsError):
    """An action could lose data, and no consent was given."""

    code = "M420"


class NotRunningError(MillionsError):
    """A command needs a stack that runs, and it does not."""

    code = "M430"


class MoveError(MillionsError):
    """A database was not moved: it is where it was, or the error says how the move is finished."""

    code = "M450"


class ClimbError(MillionsError):
    """A climb stopped at one of its steps: it can be gone on with or undone."""

    code = "M480"


class HistoryError(MillionsError):
    """A history of operations cannot be read or judged."""

    code = "M460"


class ConsensusError(MillionsError):
    """The servers that agree on who leads did not answer within the bounded wait."""

    code = "M440"


class BackupError(MillionsError):
    """A backup cannot be made, found or restored; what runs was not changed."""

    code = "M470"


class SdkError(MillionsError):
    """Root of the errors that application code can meet."""

    code = "M500"


class NotShardableError(SdkError):
    """A model could never be sharded as it is declared."""

    code = "M510"


class NotRoutableError(SdkError):
    """A statement or key cannot be sent to one shard."""

    code = "M511"


class CommitUnknownError(SdkError):
    """The connection broke while COMMIT was under way: the transaction may or may not be done."""

    code = "M512"


class UnavailableError(SdkError):
    """An engine did not answer within the bounded wait."""

    code = "M513"


class ConflictError(SdkError):
    """Compare-and-set met another version than the one expected."""

    code = "M520"


class TaskError(SdkError):
    """A task cannot be declared, encoded or decoded."""

    code = "M530"


class EventError(SdkError):
    """An event cannot be published or subscribed to."""

    code = "M531"


class FileRefusedError(SdkError):
    """An upload is too large, empty, or of a type that is not accepted."""

    code = "M540"


class SignatureError(SdkError):
    """A cookie, URL or token is forged, altered or expired."""

    code = "M550"
