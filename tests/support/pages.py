"""HTML pages, read strictly."""

from html.parser import HTMLParser


class Tags(HTMLParser):
    """Tags in order, whether they close, and all text outside scripts and styles."""

    def __init__(self, content):
        super().__init__()
        self.open, self.seen, self.words = [], [], []
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)
