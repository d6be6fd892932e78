-- As chain; whoever asks so changes it next, and the others wait.
select ahead, since from clocks where boot = :boot for update;
