"""Follows."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database to this revision."""
    op.create_table(
        "follows",
        sa.Column("follower_id", sa.Integer(), nullable=False),
        sa.Column("followed_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("follower_id <> followed_id", name=op.f("ck_follows_not_oneself")),
        sa.ForeignKeyConstraint(["follower_id"], ["users.id"], name="fk_follows_follower_id_users", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["followed_id"], ["users.id"], name="fk_follows_followed_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("follower_id", "followed_id", name="pk_follows"),
    )
    op.create_index("ix_follows_followed_id", "follows", ["followed_id"])


def downgrade() -> None:
    """Bring the database back to the revision before."""
    op.drop_index("ix_follows_followed_id", "follows")
    op.drop_table("follows")
