pragma incremental_vacuum(200);
