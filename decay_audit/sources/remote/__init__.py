"""Files behind a URL, read by byte ranges: a checkpoint of a terabyte costs its headers.

    URL -> open_url -> RemotePath -> the readers of `checkpoint/`, which take it as they take any path

Readers open files, list folders and read bytes at a position. A RemotePath answers all of that from a Store.

    urls         which texts are URLs, and what of a URL may be shown
    open_url     a URL -> the Store that reads it, and the RemotePath of its file or folder
    find_urls    the URLs that a pattern, or an organisation on the hub, stands for
    remote_path  RemotePath: a path whose file is in a Store; `map_files`: several files at once
    store        the Store: what is known of a file, its bytes from a position on, and the files of a folder
    web_store    a Store for http:// and https://
    hub_store    a Store for hf://
    fsspec_store a Store for s3://, gs://, az:// and all else that fsspec opens
    header_cache a Store that keeps what another one reads in the user's cache folder, by ETag
    web_client   GET requests with ranges: redirects, retries, time limits
    web_answer   which answers are refused, and how much of a body is read
"""

from decay_audit.sources.remote.find_urls import find_urls
from decay_audit.sources.remote.open_url import open_url
from decay_audit.sources.remote.remote_path import map_files, require_existing, size_for_work
from decay_audit.sources.remote.urls import hide_credentials, is_url, public_name

__all__ = [
    "find_urls",
    "hide_credentials",
    "is_url",
    "map_files",
    "open_url",
    "public_name",
    "require_existing",
    "size_for_work",
]
