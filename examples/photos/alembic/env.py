"""Alembic's environment: on the database of the stack, `millions run alembic upgrade head`."""

from millions.sdk import migrations
from photos.models import Base

migrations.run(Base.metadata)
