"""The numbers of the Parquet format, by the names that parquet.thrift (apache/parquet-format 2.10) gives
them.

Each class lists the ids of the fields of one struct, or the values of one enumeration; only those in use.
"""

MAGIC = b"PAR1"
ENCRYPTED_MAGIC = b"PARE"


class FileMetaData:
    """The footer."""

    VERSION = 1
    SCHEMA = 2
    NUM_ROWS = 3
    ROW_GROUPS = 4
    KEY_VALUE_METADATA = 5
    CREATED_BY = 6
    ENCRYPTION_ALGORITHM = 8


class KeyValue:
    """One entry of the footer's free metadata."""

    KEY = 1
    VALUE = 2


class SchemaElement:
    """One node of the schema, which is a tree written in depth-first order."""

    TYPE = 1
    REPETITION_TYPE = 3
    NAME = 4
    NUM_CHILDREN = 5


class FieldRepetitionType:
    """How often a node occurs in its parent."""

    REPEATED = 2


class RowGroup:
    """Consecutive rows of all columns."""

    COLUMNS = 1
    TOTAL_BYTE_SIZE = 2
    NUM_ROWS = 3


class ColumnChunk:
    """One leaf's part of a row group."""

    FILE_PATH = 1
    FILE_OFFSET = 2
    META_DATA = 3
    OFFSET_INDEX_OFFSET = 4
    OFFSET_INDEX_LENGTH = 5
    CRYPTO_METADATA = 8
    ENCRYPTED_COLUMN_METADATA = 9


class ColumnMetaData:
    """The contents of a column chunk, and their place."""

    TYPE = 1
    ENCODINGS = 2
    PATH_IN_SCHEMA = 3
    CODEC = 4
    NUM_VALUES = 5
    TOTAL_UNCOMPRESSED_SIZE = 6
    TOTAL_COMPRESSED_SIZE = 7
    DATA_PAGE_OFFSET = 9
    DICTIONARY_PAGE_OFFSET = 11


class OffsetIndex:
    """The data pages of a column chunk."""

    PAGE_LOCATIONS = 1


class PageLocation:
    """One data page; its size includes the header."""

    OFFSET = 1
    COMPRESSED_PAGE_SIZE = 2
    FIRST_ROW_INDEX = 3


class PageHeader:
    """The header before each page; sizes are those of what follows it."""

    TYPE = 1
    UNCOMPRESSED_PAGE_SIZE = 2
    COMPRESSED_PAGE_SIZE = 3
    DATA_PAGE_HEADER = 5
    DICTIONARY_PAGE_HEADER = 7
    DATA_PAGE_HEADER_V2 = 8


class DataPageHeader:
    """A data page of the first kind."""

    NUM_VALUES = 1
    ENCODING = 2


class DataPageHeaderV2:
    """A data page of the second kind, whose levels are not compressed."""

    NUM_VALUES = 1
    NUM_NULLS = 2
    NUM_ROWS = 3
    ENCODING = 4
    DEFINITION_LEVELS_BYTE_LENGTH = 5
    REPETITION_LEVELS_BYTE_LENGTH = 6


class PageType:
    """The kinds of page."""

    DATA_PAGE = 0
    INDEX_PAGE = 1
    DICTIONARY_PAGE = 2
    DATA_PAGE_V2 = 3


class Encoding:
    """The encodings that need the dictionary page."""

    PLAIN_DICTIONARY = 2
    RLE_DICTIONARY = 8
