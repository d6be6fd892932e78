-- :tags JSON array of [message, {name: value}].
insert into tags (message, name, value)
select t.value->>0, e.key, e.atom from json_each(:tags) t, json_each(t.value, '$[1]') e;
