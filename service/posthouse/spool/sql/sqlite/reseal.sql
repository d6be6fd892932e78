-- The same data keys under the master :key_id. :rows JSON array of [content, earlier key id, wrapped data key in hex].
update contents set key_id = :key_id, data_key = unhex(e.value->>2)
from json_each(:rows) e where contents.id = e.value->>0 and contents.key_id = e.value->>1;
