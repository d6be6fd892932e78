insert into workers (boot, host, version, started_at) values (:owner, :host, :version, :at) returning id;
