# Part of the template: changes belong there (`copier update` merges this file).
"""The parts of `gymkit wrap` and `gymkit adopt`: reading a domain, and writing an environment around it.

- `interface`  what has been read of a class: plain data
- `hints`      a type as source code, and whether JSON can hold it
- `reader`     imports the module and reads it, in a process of its own
- `reading`    starts that process, with a time limit
- `server_code`, `other_code`  the files that are written
- `first_player`  starts `finishing`: rows, cases, and what the first player earns
- `rewriting`  what is said of the environment in files that it shares with the template
- `hand_made`  a hand-made server as one of this template
- `merging`    a second `wrap`: what was edited stays
- `place`      where things are written: first a copy of the environment, then the environment
"""
