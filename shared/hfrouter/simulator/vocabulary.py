"""Lists of words: those that carry no meaning, those that mean nearly the same, and what kind of field a word names."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP_WORDS = _words(
    "a an the this that these those it its he she they i we you him her them his our my your their us me what which "
    "who whom whose when where why how is are was were be been being am do does did done have has had will would can "
    "could shall should may might must not no yes and or but if then so as of in on at by for from to with about into "
    "over under between many much please tell give show use using just only also there here than too very more most "
    "some any each all both s t d ll ve re m let's lets"
)
NEVER_NAMES = _words(
    "what who where when why how which is are was were do does did can could will would should please tell give show "
    "the a an this that these those it he she they i we you my our his her in on at for to from and or but if add use "
    "using call create get find search convert multiply compute calculate set make send book translate extract return "
    "generate write list say answer then also now hello hi thanks there not no yes let"
)
GENERIC_TOOL_WORDS = _words(
    "get fetch do run make retrieve retrieves tool function my compute current call value input result information "
    "given data number perform return returns"
)
PLACE_FIELDS = _words(
    "city location place town country destination origin region area state airport capital venue address"
)
NAME_FIELDS = _words(
    "name person customer author user username who recipient contact assignee employee title company organisation "
    "organization brand product"
)
WHOLE_FIELDS = _words(
    "query question text prompt input message content request task search instruction sentence topic body"
)
ASIDE_FIELDS = _words("description details summary reason note")
CODE_FIELDS = _words("timezone zone currency unit units symbol ticker")
ROLE_FIELDS = _words("occupation job profession role")
GOOD = _words("good great love loved excellent amazing happy best wonderful fantastic enjoyed perfect pleased nice")
BAD = _words(
    "bad terrible hate hated awful worst poor sad angry broken disappointed disappointing horrible boring useless slow"
)
SYNONYMS: dict[str, tuple[str, ...]] = {
    "+": ("add", "sum", "plus"),
    "plus": ("add", "sum"),
    "sum": ("add",),
    "-": ("subtract", "minus"),
    "minus": ("subtract",),
    "*": ("multiply", "product", "times"),
    "times": ("multiply",),
    "product": ("multiply",),
    "/": ("divide", "quotient"),
    "tall": ("height", "high"),
    "height": ("tall", "high"),
    "high": ("tall", "height"),
    "old": ("age", "year"),
    "age": ("old", "aged"),
    "big": ("large", "size"),
    "cost": ("price",),
    "price": ("cost", "costs"),
    "live": ("city", "resident"),
    "hot": ("temperature",),
    "cold": ("temperature",),
    "forecast": ("weather",),
    "job": ("occupation", "profession", "works"),
    "occupation": ("job", "profession", "works", "work"),
    "born": ("birth", "birthday"),
    "wrote": ("author", "written"),
    "author": ("wrote", "written"),
    "built": ("construct", "completed"),
    "mail": ("email",),
}
