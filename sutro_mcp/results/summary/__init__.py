"""The summary of a result: one pass over batches of its columns, in bounded memory."""
