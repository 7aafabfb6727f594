# Part of the template: changes belong there (`copier update` merges this file).
"""What every environment of this template shares. Each module is one thing, to be read top to bottom:

- `server`    the resources server: seed, tools, verify, close
- `sessions`  one episode per cookie: made from its row, one call at a time, always ended
- `http`      the ASGI middleware: cookie, API key, size limit, last line of defence
- `limits`    how many requests a caller may make per second
- `tools`     the route of a tool: arguments in, text out, with a time limit; and its schema
- `grading`   ground truth, verdicts, and the grade of a bare transcript
- `data`      writes and checks the task rows
- `page`      the page at `/`, on which a person can play (with page.html, page_content.html, page.css, page.js)
- `pool`      things that take long to make, a few of them in store (where an archetype has such)
- `fixture`   the grader's cases, for NeMo Gym's own checks
- `project`   where the environment's own files and names are
- `pictures`  takes a picture out of a tool's answer, for the model to see
- `recording` keeps an episode's pictures, and a page to watch it
- `serve`     `python server.py`: the server alone, without Ray or a head server

Nothing is imported here: NeMo Gym takes seconds to import, and rollout.py does not need it.
"""
