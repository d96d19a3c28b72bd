"""Searches a folder of Markdown files by words. Standard library only.
Usage: python3 markdown_knowledge.py FOLDER "When are you open on Saturdays?" """
import json
import math
import re
import sys
from collections import Counter
from pathlib import Path

NOISE = set("a about an and are as at be but by can could do does for from have help how i if in is it me my of on or"
            " please so some something anything tell that the there this to want was we what when where which who will with would you your".split())
LEAST_SHARE = 0.3  # of the question's weight, that a passage must have

def stem(word: str) -> str:
    """Makes `repairs` and `repair`, `opening` and `open` one word."""
    return re.sub(r"(?<=\w{3})(ing|ed|es|s|al|e)$", "", word)

def words(text: str) -> list[str]:
    return [stem(word) for word in re.findall(r"\w+", text.lower()) if word not in NOISE]

class MarkdownKnowledge:
    def __init__(self, folder: str) -> None:
        self.passages = []  # (source, file, text, words of the text)
        for file in sorted(Path(folder).rglob("*.md")):
            source = re.sub(r"[-_]+", " ", file.stem)
            page = file.read_text(encoding="utf-8")
            for section in re.split(r"^(?=#+ )", page, flags=re.MULTILINE):
                heading, _, text = section.partition("\n") if section.startswith("#") else ("", "", section)
                if text.strip():
                    indexed = Counter(words(f"{heading} {text}"))
                    self.passages.append((source, str(file.relative_to(folder)), text.strip(), indexed))
        if not self.passages:
            raise ValueError(f"Expected Markdown files in {folder} but received none")
        self.known = Counter(word for *_, indexed in self.passages for word in indexed)
        self.usual = sum(self.known.values()) / len(self.passages)

    def search(self, question: str, most: int = 3) -> list[dict]:
        """Passages that share the question's rarest words, best first: source, file and text of each."""
        weights = {word: math.log(1 + len(self.passages) / (1 + self.known[word])) for word in words(question)}
        best = []
        for i, (*_, indexed) in enumerate(self.passages):
            shared = [word for word in weights if word in indexed]
            if shared and sum(weights[word] for word in shared) >= LEAST_SHARE * sum(weights.values()):
                length = 0.5 + 0.5 * sum(indexed.values()) / self.usual
                score = sum(weights[word] * indexed[word] / (indexed[word] + length) for word in shared)
                best.append((-score, i))
        passages = [self.passages[i] for _, i in sorted(best)[:most]]
        return [{"source": source, "file": file, "text": text} for source, file, text, _ in passages]

if __name__ == "__main__":
    print(json.dumps(MarkdownKnowledge(sys.argv[1]).search(sys.argv[2]), indent=2))
