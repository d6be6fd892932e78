with c as (
  insert into clients (name, created_at) values (:client, :created_at) on conflict (name) do nothing
)
insert into keys (id, client, key_hash, senders, recipient_domains, scopes, created_at, expires_at, revoked_at,
                  last_used_at)
values (:id, :client, :key_hash, :senders::jsonb, :recipient_domains::jsonb, :scopes::jsonb, :created_at, :expires_at,
        :revoked_at, :last_used_at)
on conflict (id) do update set client = excluded.client, key_hash = excluded.key_hash, senders = excluded.senders,
  recipient_domains = excluded.recipient_domains, scopes = excluded.scopes, expires_at = excluded.expires_at,
  revoked_at = excluded.revoked_at, last_used_at = excluded.last_used_at;
