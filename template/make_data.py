"""Writes the task rows in data/ from tasks.py and the server's tools: `uv run python make_data.py`."""

from gymkit.data import main
from gymkit.project import server_class
from tasks import tasks

if __name__ == "__main__":
    main(server_class(), tasks())
