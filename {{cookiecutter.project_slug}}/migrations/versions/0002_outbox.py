"""The outbox: jobs that wait for their transaction, or for Redis."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database to this revision."""
    op.create_table(
        "job_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("queue_key", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("due", sa.BigInteger()),
        sa.Column("expires", sa.BigInteger()),
        sa.Column("locks", sa.LargeBinary()),
        sa.Column("outcome", sa.LargeBinary()),
        sa.Column("refused", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job_outbox"),
    )


def downgrade() -> None:
    """Bring the database back to the revision before."""
    op.drop_table("job_outbox")
