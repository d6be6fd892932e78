select ahead, since from clocks where boot = :boot;
