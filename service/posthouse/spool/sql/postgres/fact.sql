-- What is true of the spool as a whole; whoever asks so changes it next, and the others wait.
select value from facts where name = :name for update;
