"""The tables as the service uses them; supabase/migrations makes them."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, MetaData, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import INET, JSONB

_metadata = MetaData()
_time = DateTime(timezone=True)

users = Table(
    "users",
    _metadata,
    Column("instance_id", Uuid),
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("aud", Text),
    Column("role", Text),
    Column("email", Text),
    Column("encrypted_password", Text),
    Column("email_confirmed_at", _time),
    Column("confirmation_token", Text),
    Column("recovery_token", Text),
    Column("email_change_token_new", Text),
    Column("email_change", Text),
    Column("last_sign_in_at", _time),
    Column("raw_app_meta_data", JSONB),
    Column("raw_user_meta_data", JSONB),
    Column("created_at", _time),
    Column("updated_at", _time),
    Column("banned_until", _time),
    Column("deleted_at", _time),
    schema="auth",
)

sessions = Table(
    "sessions",
    _metadata,
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("user_id", Uuid, nullable=False),
    Column("created_at", _time, nullable=False, server_default=func.now()),
    Column("last_seen_at", _time, nullable=False, server_default=func.now()),
    Column("ip", INET),
    Column("user_agent", Text),
    Column("revoked_at", _time),
)

events = Table(
    "events",
    _metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("timestamp", _time, primary_key=True, server_default=func.now()),
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("type", Text, nullable=False),
    Column("properties", JSONB, nullable=False),
    Column("session_id", Uuid),
)
