"""Everyday words for questions that the model cannot answer and for texts to repeat."""

from __future__ import annotations

from .phrasing import words

THINGS = words(
    """
accident account across action actor address advice age air airport album animal apple area argue army art
article autumn baby bag ball banana band bank bar basket bath battle beach bear bed bee beer bell bicycle
bird birthday blood boat body bone book border bottle bottom box boy brain bread break breakfast bridge
bright brother building bus business butter button cake camera camp candle capital car card care cat cause
cell center century chair cheese chemistry chess chicken child church circle city class climate clock cloth
cloud coat code coffee color company computer cookie corner cost cotton country course cousin cow cream
culture cup cycle danger data date daughter day death deer desk difference dinner direction disease dish
distance doctor dog dollar door dream dress duck dust duty earth economy edge education egg election
elephant email enemy energy engine evening event example exercise eye face fact factory family farm fashion
fat father fence field film finger fire fish flag floor flower food foot football forest fox friend front
fruit function galaxy game garden gas gate ghost gift girl glass goal god government grandmother grape grass
gravity ground group guitar gun hair hall hammer hand hat head health heart heat hero hill history hobby
hole holiday home honey horse hospital hotel hour house husband ice idea insect interest internet iron
island jacket job joke journey juice jungle justice key kind king kitchen knee knife lake lamp land language
law leaf leg lemon lesson letter library life light line lion list luck lunch machine magic mail man manager
map market math matter meal meat medicine member memory message metal method milk million mind minute mirror
money monkey month moon morning mother motor mountain mouse mouth movie music mystery name nation nature
neck neighbor news newspaper night noise nose note novel number nurse object ocean office oil onion opinion
oven owner page pain pair paper parent park part party pass path peace pen people pepper person phone photo
physics piano picture piece pig pilot place planet plant plastic plate pocket poem point poison police
position potato power practice president price prison prize problem product program promise pupil queen
question rabbit race radio rain reason recipe religion restaurant result rice ring river road robot rock
roof room root rope rose rule salad salt sand school science sea season seat second secret seed sentence
shape sheep ship shirt shoe shop shoulder side silver sister size skin sky smoke snake snow soap soccer
society soldier son song soup space speed spider spoon sport spring square stage stairs stamp star state
station steel step stick stone storm story street student style subject success sugar suit summer sun table
taxi tea team technology telephone television temperature theater theory thing throat ticket tiger time
tomato tongue tool tooth tourist tower town toy traffic tree trip trouble truck type umbrella uncle
university vacation valley value vegetable video village violin virus voice volcano wall war water wave way
weather wedding week weight whale wheat wheel wife wind window wine winter wire wolf woman wood word world
year zebra zoo
"""
)
"""Nouns."""

DEEDS = words(
    """
answer ask bake bring brush build buy call carry catch change choose clean clear close compare cook copy
correct count cover create cut deal decide design develop discover divide draw drive drop eat enjoy enter
explain explore feed fill find finish fix follow forget get give grow guess hear help hide hold imagine
invent join keep lead learn leave lock make marry measure meet mix move offer open order paint pay plan play
prepare print protect pull pump push put read remember rent repair repeat reply report return ride save
search sell send serve share show sign sing spell spend start stop store study take taste teach tell throw
touch trade train try turn understand use visit warm wash watch wear write
"""
)
"""Transitive verbs, harmless ones."""

OTHERS = words(
    """
able about above active afraid after again against agree alone along around arrive back bad beautiful before
begin behind believe below best better between big black blue boring broken brown burn busy cheap climb cold
come comfortable common crazy cross cry curious dance dark dead dear deep destroy die difficult dirty double
down drink dry early east easy electric empty end enough equal escape ever evil exam expensive fail fall
famous far fast fear feel fight final flat fly force foreign form forward free fresh full fun funny future
general giant gold good gray great green half happen happy hard hate have heavy high hit honest hope hot
huge human hungry hunt hurry hurt important inside jump kill kiss know large laugh lazy left lie like listen
little live local long look lose loud love low main many mean middle miss mistake modern much narrow near
need nervous never new next nice north nothing often old orange other outside past perfect pink please
plenty poor popular possible present pretty proud quick quiet ready real red rest rich right rough round run
sad safe say see serious sharp shoot short shout sick simple sit sleep slow small smart smell smile soft
some soon sound south speak special stay steal still strange strong stupid sure surprise sweet swim talk
tall tear terrible thick thin think thirsty tired today together tomorrow top total travel true trust ugly
under usual very wait walk want weak welcome west wet white whole why wide wild win wise wish wonder work
worry wrong yellow yesterday young zero
"""
)
"""Words of every other kind."""

WORDS = [*THINGS, *DEEDS, *OTHERS]

PLACES = words(
    """
France Germany Italy Spain Japan China India Brazil Canada Mexico Egypt Kenya Norway Sweden Poland Greece
Turkey Peru Chile Australia Paris London Berlin Rome Madrid Tokyo Moscow Delhi Cairo Oslo Vienna Athens
Lisbon Dublin Boston Europe Africa Asia America California Texas Mars Venus Jupiter Atlantis Switzerland
Portugal Iceland Finland Vietnam Korea
"""
)

PEOPLE = words(
    """
Einstein Newton Shakespeare Mozart Beethoven Napoleon Caesar Cleopatra Darwin Gandhi Lincoln Obama Picasso
Plato Turing Tesla Curie Galileo Columbus Batman Superman Bach Kant Lovelace Gauss Euler Feynman Hemingway
Tolstoy Homer Buddha
"""
)

TECHNOLOGY = words(
    """
Python Rust Java JavaScript Linux Windows Docker Kubernetes Git SQL HTML CSS C++ Haskell regex TCP HTTP JSON
YAML pandas numpy PyTorch React Excel bash vim emacs Postgres Redis Bitcoin
"""
)
