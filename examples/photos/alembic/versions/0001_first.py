"""The first tables: people, photos, follows in both directions, likes, comments."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = {
    "handles": """
        handle varchar(30) PRIMARY KEY,
        user_id uuid NOT NULL,
        claimed_at timestamptz NOT NULL DEFAULT now()
    """,
    "users": """
        id uuid PRIMARY KEY,
        handle varchar(30) NOT NULL,
        name varchar(60) NOT NULL,
        bio varchar(300) NOT NULL DEFAULT '',
        words varchar(200) NOT NULL,
        photos integer NOT NULL DEFAULT 0,
        followers integer NOT NULL DEFAULT 0,
        following integer NOT NULL DEFAULT 0,
        celebrity_since timestamptz,
        deleted_at timestamptz,
        joined_at timestamptz NOT NULL DEFAULT now()
    """,
    "credentials": """
        user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
        password_hash varchar(200) NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT now()
    """,
    "photos": """
        owner_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
        id uuid NOT NULL,
        caption varchar(500) NOT NULL DEFAULT '',
        width integer NOT NULL,
        height integer NOT NULL,
        colour varchar(7) NOT NULL,
        likes integer NOT NULL DEFAULT 0 CHECK (likes >= 0),
        comments integer NOT NULL DEFAULT 0 CHECK (comments >= 0),
        created_at timestamptz NOT NULL DEFAULT now(),
        ready_at timestamptz,
        PRIMARY KEY (owner_id, id)
    """,
    "following": """
        follower_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
        followed_id uuid NOT NULL,
        active boolean NOT NULL,
        version integer NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (follower_id, followed_id)
    """,
    "followers": """
        user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
        follower_id uuid NOT NULL,
        active boolean NOT NULL,
        version integer NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (user_id, follower_id)
    """,
    "likes": """
        owner_id uuid NOT NULL,
        photo_id uuid NOT NULL,
        user_id uuid NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (owner_id, photo_id, user_id),
        FOREIGN KEY (owner_id, photo_id) REFERENCES photos ON DELETE CASCADE
    """,
    "comments": """
        owner_id uuid NOT NULL,
        photo_id uuid NOT NULL,
        id uuid NOT NULL,
        author_id uuid NOT NULL,
        text varchar(1000) NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (owner_id, photo_id, id),
        FOREIGN KEY (owner_id, photo_id) REFERENCES photos ON DELETE CASCADE
    """,
}

INDEXES = (
    "ix_users_words ON users USING gin (to_tsvector('simple', words))",
    "ix_users_followers ON users (followers DESC)",
    "ix_users_celebrities ON users (id) WHERE celebrity_since IS NOT NULL",
    "ix_photos_ready ON photos (id DESC) WHERE ready_at IS NOT NULL",
    "ix_likes_user_id ON likes (user_id)",
    "ix_comments_author_id ON comments (author_id)",
)


def upgrade() -> None:
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE {name} ({columns})")
    for index in INDEXES:
        op.execute(f"CREATE INDEX {index}")


def downgrade() -> None:
    for name in reversed(TABLES):
        op.execute(f"DROP TABLE {name}")
