"""A task that could not work is refused when it is declared, with what to write instead."""

import functools

import pytest

from millions.errors import TaskError, UnavailableError
from millions.sdk.database import Database
from millions.sdk.tasks import Tasks


@pytest.fixture
def tasks():
    return Tasks(Database())


async def greet(name: str, loud: bool = False) -> str:  # noqa: FBT001, FBT002
    return name.upper() if loud else name


@pytest.mark.parametrize(
    "bounds",
    [
        pytest.param({"queue": "A,B"}, id="a queue with a comma"),
        pytest.param({"queue": ""}, id="no queue"),
        pytest.param({"retries": -1}, id="negative retries"),
        pytest.param({"retries": 101}, id="too many retries"),
        pytest.param({"time_limit_s": 0}, id="no time at all"),
        pytest.param({"time_limit_s": 10**6}, id="a limit of days"),
        pytest.param({"priority": 3}, id="a priority above the highest"),
        pytest.param({"name": "n" * 201}, id="a name that is too long"),
    ],
)
def test_what_is_out_of_bounds_is_refused(tasks, bounds):
    with pytest.raises(TaskError) as caught:
        tasks.task(**bounds)(greet)
    assert next(iter(bounds)) in str(caught.value)


def test_a_task_is_named_after_its_function(tasks):
    assert tasks.task(greet).bounds.name == f"{__name__}.greet"


def test_a_partial_is_named_after_its_function(tasks):
    assert tasks.task(functools.partial(greet, loud=True)).bounds.name == f"{__name__}.greet"


def test_two_functions_cannot_have_one_name(tasks):
    tasks.task(name="same")(greet)
    with pytest.raises(TaskError):
        tasks.task(name="same")(lambda: None)


def test_a_module_that_is_imported_again_may_declare_its_task_again(tasks):
    tasks.task(name="same")(greet)
    tasks.task(name="same")(greet)


def test_a_generator_is_no_task(tasks):
    async def stream():
        yield 1

    with pytest.raises(TaskError):
        tasks.task(stream)


def test_a_parameter_that_enqueue_takes_itself_is_refused(tasks):
    with pytest.raises(TaskError, match="session"):
        tasks.task(lambda session: session)


def test_a_schedule_needs_no_arguments(tasks):
    with pytest.raises(TaskError):
        tasks.cron("* * * * *")(greet)


def test_a_function_can_be_scheduled_and_called(tasks):
    @tasks.cron("* * * * *")
    def tidy(days: int = 3) -> int:
        return days

    assert tidy() == 3
    assert tidy(4) == 4


async def test_a_task_can_be_called_like_its_function(tasks):
    assert await tasks.task(greet)("a", loud=True) == "A"


async def test_arguments_that_do_not_fit_are_refused_by_enqueue(tasks):
    with pytest.raises(TaskError, match="greet"):
        await tasks.task(greet).enqueue("a", "b", "c")


async def test_tasks_that_are_not_open_say_so(tasks):
    with pytest.raises(UnavailableError):
        await tasks.task(greet).enqueue("a")
    with pytest.raises(UnavailableError):
        tasks.worker()


def test_there_is_no_current_task_outside_of_one(tasks):
    with pytest.raises(TaskError):
        tasks.current()
