insert into clients (name, created_at) values (:client, :created_at) on conflict (name) do nothing;
insert into keys (id, client, key_hash, kind, senders, recipient_domains, networks, scopes, created_at, expires_at,
                  revoked_at, last_used_at)
values (:id, :client, :key_hash, :kind, :senders, :recipient_domains, :networks, :scopes, :created_at, :expires_at,
        :revoked_at, :last_used_at)
on conflict (id) do update set client = excluded.client, key_hash = excluded.key_hash, kind = excluded.kind,
  senders = excluded.senders, recipient_domains = excluded.recipient_domains, networks = excluded.networks,
  scopes = excluded.scopes, expires_at = excluded.expires_at, revoked_at = excluded.revoked_at,
  last_used_at = excluded.last_used_at;
