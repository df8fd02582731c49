"""What routes ask for."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession

from ..infrastructure.database import get_session

#: A database session for the request; commit it, or its changes are rolled back.
Session = Annotated[AsyncSession, Depends(get_session)]
