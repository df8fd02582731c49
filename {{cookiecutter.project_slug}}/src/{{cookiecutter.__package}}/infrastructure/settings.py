"""Settings from the environment and `.env`, in groups; a bad value ends the process with one line, never a trace."""

from __future__ import annotations

import re
# {% if cookiecutter.cache_backend != "none" %}
from datetime import timedelta
# {% endif %}
from functools import lru_cache
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# {% if cookiecutter.cache_backend != "none" %}
from .jobs.connections import RedisSettings, parse_redis_url
from .jobs.errors import InvalidJobError
from .jobs.fallback import Fallback
from .jobs.keys import queue
from .jobs.retention import Retention
from .jobs.running.served import ServedQueues, parse_queues

# {% endif %}
DEFAULT_SECRET_KEY = "change-me"  # noqa: S105 - the value that production refuses
ASYNC_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


GroupT = TypeVar("GroupT", bound="SettingsGroup")


class ConfigurationError(SystemExit):
    """A setting has a value that cannot work.

    Raised only while the process starts. As a `SystemExit` it ends the process with its message, one line for each
    setting that is wrong, and exit status 1.
    """


class SettingsGroup(BaseSettings):
    """Settings that share a prefix: `url` of the group `DATABASE_` is the variable `DATABASE_URL`.

    A slice's own group stands in the slice; `get_settings().of(ItsGroup)` gives it.
    """

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)


class DatabaseSettings(SettingsGroup):
    """Where the rows are: SQLite in the project's folder unless told otherwise."""

    model_config = SettingsConfigDict(env_prefix="DATABASE_")

    url: str = "sqlite+aiosqlite:///./app.db"
    echo: bool = False

    @field_validator("url")
    @classmethod
    def _with_async_driver(cls, value: str) -> str:
        # Imported here: a health check reads other settings only, and has to start fast.
        from sqlalchemy.engine import make_url  # noqa: PLC0415
        from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

        try:
            url = make_url(value)
        except ArgumentError:
            raise ValueError("is no database URL; use sqlite:///file.db or postgresql://user@host/database") from None
        if url.drivername not in ASYNC_DRIVERS:
            raise ValueError(f"has the unsupported driver {url.drivername!r}; use sqlite:// or postgresql://")
        return url.set(drivername=ASYNC_DRIVERS[url.drivername]).render_as_string(hide_password=False)


# {% if cookiecutter.cache_backend != "none" %}
class CacheSettings(SettingsGroup):
    """The Redis that holds jobs and sessions."""

    model_config = SettingsConfigDict(env_prefix="REDIS_")

    url: str = "redis://127.0.0.1:6379/0"
    #: `host:port,host:port` of the Sentinels; `url` then gives user, password and database only.
    sentinels: str = ""
    sentinel_master: str = "mymaster"
    #: Run on a Redis that may drop queued jobs when its memory is full.
    allow_eviction: bool = False
    #: Run on a Redis that forgets everything when it restarts, without a warning.
    allow_no_persistence: bool = False

    @model_validator(mode="after")
    def _readable(self) -> Self:
        self.connection()
        return self

    def connection(self) -> RedisSettings:
        """Give the parsed form of `url` and `sentinels`, which clients are made from."""
        return parse_redis_url(self.url, sentinels=self.sentinels, sentinel_master=self.sentinel_master)


class JobSettings(SettingsGroup):
    """Background jobs."""

    model_config = SettingsConfigDict(env_prefix="JOBS_")

    #: Bytes that a job may take in Redis; beyond it enqueueing is refused.
    max_payload: int = Field(default=524_288, gt=0)
    #: Jobs that a queue may hold; beyond it enqueueing is refused; 0: any number.
    max_queue_length: int = Field(default=0, ge=0)
    #: What becomes of a job that is enqueued while Redis is away.
    fallback: Fallback = Fallback.INLINE
    #: Show the arguments and results of jobs in the log, except for those whose names say that they are secret.
    log_arguments: bool = False
    #: Jobs that have ended and are listed, for each way to end; 0: none.
    history: int = Field(default=100_000, ge=0)
    history_days: float = Field(default=7, gt=0)
    #: Jobs whose last try failed that are kept; 0: none.
    dead_letters: int = Field(default=10_000, ge=0)
    dead_letters_days: float = Field(default=30, gt=0)

    def retention(self) -> Retention:
        """Give what is kept of jobs that have ended."""
        return Retention(
            history=self.history,
            history_age=timedelta(days=self.history_days),
            dead_letters=self.dead_letters,
            dead_letters_age=timedelta(days=self.dead_letters_days),
        )


class WorkerProcessSettings(SettingsGroup):
    """One process of a worker; what is the same for all of them is in `WorkerSettings` of the front door."""

    model_config = SettingsConfigDict(env_prefix="WORKER_")

    #: The queues that it serves, `*` for all others; `emails=5` keeps five of its slots free for that queue.
    queues: str = "*"

    @field_validator("queues")
    @classmethod
    def _readable(cls, value: str) -> str:
        try:
            parse_queues(value)
        except InvalidJobError as error:
            raise ValueError(f"cannot be read: {error}") from None
        return value

    def first_queue(self) -> str:
        """Give the key of the queue that it serves first, whose workers share a sign of life."""
        return ServedQueues(self.queues, first=queue()).keys[0]


class SessionSettings(SettingsGroup):
    """Sign-in sessions, see `cache.py`."""

    model_config = SettingsConfigDict(env_prefix="SESSION_")

    #: Seconds without a request after which a session ends.
    ttl: int = Field(default=86_400, gt=0)


# {% endif %}
class MailSettings(SettingsGroup):
    """Outgoing mail; without a host it is printed to the log, and refused in production."""

    model_config = SettingsConfigDict(env_prefix="SMTP_")

    host: str = ""
    port: int = Field(default=587, gt=0, lt=65_536)
    user: str = ""
    password: SecretStr = SecretStr("")
    #: How the connection is encrypted: `starttls` (port 587), `tls` (port 465) or `none`.
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: str = "no-reply@localhost"
    #: Seconds for each step of the conversation with the server.
    timeout: float = Field(default=10, gt=0)


class Settings(SettingsGroup):
    """Everything that can be set, but for the slices' own groups; `get_settings()` gives the one instance."""

    environment: Literal["development", "production"] = "development"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    secret_key: SecretStr = SecretStr(DEFAULT_SECRET_KEY)
    #: Where people reach the service; what links in mails begin with.
    public_url: str = "http://127.0.0.1:8000"

    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    mail: MailSettings = Field(default_factory=MailSettings)
    # {% if cookiecutter.cache_backend != "none" %}
    redis: CacheSettings = Field(default_factory=CacheSettings)
    jobs: JobSettings = Field(default_factory=JobSettings)
    worker: WorkerProcessSettings = Field(default_factory=WorkerProcessSettings)
    session: SessionSettings = Field(default_factory=SessionSettings)
    # {% endif %}

    _groups: dict[type[SettingsGroup], SettingsGroup] = PrivateAttr(default_factory=dict)

    def of(self, group: type[GroupT]) -> GroupT:
        """Give a slice's own settings, read once; errors are those of `read_settings`."""
        settings = self._groups.get(group)
        if not isinstance(settings, group):
            self._groups[group] = settings = read_settings(group)
        return settings

    @field_validator("public_url")
    @classmethod
    def _begins_links(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
            raise ValueError("is no address that links could begin with; write it like https://example.com")
        return value.rstrip("/")

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _production_has_its_own_secret(self) -> Self:
        if self.environment == "production" and self.secret_key.get_secret_value() == DEFAULT_SECRET_KEY:
            raise ValueError("SECRET_KEY: is the default, which everybody knows; set a long random text in production")
        return self


def _explain(error: ValidationError) -> str:
    """One line for each wrong variable: its name, its value unless that is a secret, and what to do."""
    group = next(group for group in SettingsGroup.__subclasses__() if group.__name__ == error.title)
    prefix = group.model_config.get("env_prefix", "")
    lines = []
    for problem in error.errors():
        text = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:  # a check of the whole group, which names the variable itself
            lines.append(text)
            continue
        variable = f"{prefix}{problem['loc'][0]}".upper()
        value = re.sub(r"(://[^:/@]*:).*@", r"\1***@", repr(problem["input"]))  # no password on the screen
        lines.append(f"{variable}: {value} {text[0].lower()}{text[1:]}")
    return "\n".join(lines)


def read_settings(group: type[GroupT]) -> GroupT:
    """Read one group of settings from the environment and `.env`.

    Raises:
        ConfigurationError: a variable has a value that cannot work; the message names each such variable.
    """
    try:
        return group()
    except ValidationError as error:
        raise ConfigurationError(_explain(error)) from None


@lru_cache
def get_settings() -> Settings:
    """Give the settings, read once, those of the slices too; errors are those of `read_settings`."""
    settings = read_settings(Settings)
    nested = {Settings, *(field.annotation for field in Settings.model_fields.values())}
    for group in SettingsGroup.__subclasses__():
        if group not in nested:
            settings.of(group)  # a bad value is to show at start, not when it is first needed
    return settings
