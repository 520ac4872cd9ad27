"""What is not trusted is read here: files, texts and names that came from somebody else.

One policy: regular files of a known size, unpacking counted while it runs, declared sizes compared
with what the field needs before anything is built, cost linear in the bytes read, and short errors.
"""
